"""Operator: rounding to a grid, in float graphs of networks that are quantised already."""
