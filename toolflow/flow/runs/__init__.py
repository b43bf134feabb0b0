"""The functions that commands and scripts call: one a module, from a request or a folder to a typed result."""
