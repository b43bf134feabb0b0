"""Operator: average pooling."""
