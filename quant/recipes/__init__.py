"""Published compression systems as recipes: short files that compose the mechanisms; no recipe knows another."""
