"""What each export costs, and how near it is to what was trained."""
