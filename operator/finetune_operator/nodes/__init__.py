"""Where nodes come from, a file each."""
