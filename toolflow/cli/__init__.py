"""The command `toolflow`: one module per command, one error handler, lazy imports of what is slow."""
