"""Operator: padded shortcut."""
