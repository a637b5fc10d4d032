"""The running operator: kopf's watches, the reconcilers, endpoints, and how they start and end."""
