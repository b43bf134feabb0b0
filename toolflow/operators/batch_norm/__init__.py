"""Operator: batch normalisation."""
