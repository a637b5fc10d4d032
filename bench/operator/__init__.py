"""`make bench-operator`: how fast the operator is, what it asks for, and what it takes."""
