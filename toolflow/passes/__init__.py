"""Passes over the float graph; `pipeline.simplify` runs those that every model needs, in order."""
