"""Whole objects out of arguments; the same arguments always give the same object."""
