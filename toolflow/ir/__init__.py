"""The typed graphs that every stage reads and writes."""
