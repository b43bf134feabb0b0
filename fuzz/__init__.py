"""Random networks and engines, damaged files and projects, and what the toolflow makes of them."""
