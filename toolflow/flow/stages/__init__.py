"""The stages of a build, each from files of the one before to files of its own."""
