"""The search for each layer's tile, pattern and bits."""
