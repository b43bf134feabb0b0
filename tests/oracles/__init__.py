"""Independent oracles: second implementations of the project's definitions, written from the documents alone."""
