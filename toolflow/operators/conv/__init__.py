"""Operator: convolution."""
