"""Operator: addition."""
