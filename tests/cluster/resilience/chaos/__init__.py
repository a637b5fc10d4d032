"""Everything fails for minutes, by a schedule that a seed makes; then all has to be well."""
