"""Tests with a control plane of their own and simulated nodes: they use nothing of the cluster."""
