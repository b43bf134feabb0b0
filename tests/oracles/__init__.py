"""Independent oracles: second readings of what the project defines, written from the texts alone."""
