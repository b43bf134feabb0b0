"""Rewrites of a float graph: each returns a new graph that computes the same, or nearly the same, with less."""
