"""Operator: max pooling."""
