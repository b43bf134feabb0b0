"""Operator: blocks of positions become channels."""
