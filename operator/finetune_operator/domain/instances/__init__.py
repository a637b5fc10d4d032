"""Machines that can be got, and what they cost: data, and the readers beside it."""
