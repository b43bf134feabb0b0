"""Cascade Toolflow: from a trained CNN and a board to a bit-exact accelerator."""

__version__ = "0.1.0"
