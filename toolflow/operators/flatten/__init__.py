"""Operator: flatten."""
