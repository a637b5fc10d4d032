"""`make bench-memory`: what memory/ predicts beside what real runs take."""
