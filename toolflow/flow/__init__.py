"""From a request to a project folder: what the command line and a script both call."""
