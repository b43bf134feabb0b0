"""Random networks and engines, and what the toolflow makes of them."""
