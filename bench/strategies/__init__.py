"""`make bench-strategies`: every strategy on two processes of this machine, beside DataParallel."""
