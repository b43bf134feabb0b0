"""The levels of verification: what is compared with the reference, and how each runs."""
