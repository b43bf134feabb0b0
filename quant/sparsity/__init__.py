"""Sparsity: sub-row-balanced supports, and the moments that choose them."""
