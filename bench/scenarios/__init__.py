"""What each method does to each scenario of the founding table; `make scenarios` measures it."""
