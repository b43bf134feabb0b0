"""Operator: fully connected layer."""
