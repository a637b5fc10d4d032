"""The report that people look at: one page without any request, beside what was trained."""
