"""Stand-ins for what is slow: pods that end by a script, an operator that starts at once."""
