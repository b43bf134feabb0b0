"""Least squares for rounding and sparse supports: the inputs of the weights, and error compensation."""
