"""Board files and their checks."""
