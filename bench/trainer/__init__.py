"""How fast the trainer is beside what people use today; `make bench-trainer` prints the table."""
