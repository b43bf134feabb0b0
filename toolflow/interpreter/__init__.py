"""The integer reference: runs a quantised graph and thereby defines it."""
