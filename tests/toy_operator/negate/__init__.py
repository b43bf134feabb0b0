"""Operator: negation."""
