"""Operator: zero padding."""
