"""Operator: rectifier."""
