"""Operator: 3×3 convolution in the Winograd domain."""
