"""What a command or a script calls: one function a module, from a request or a folder to a typed result."""
