"""Operator: concatenation."""
