"""From a quantised graph and a board to a program for an engine that fits."""
