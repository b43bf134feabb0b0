"""Which weights stay: sub-row-balanced supports and the moments that choose them."""
