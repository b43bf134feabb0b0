"""Explore engine shapes: predict and compare them."""
