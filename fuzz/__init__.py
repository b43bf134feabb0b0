"""The fuzzer: random networks and engines, damaged files and projects."""
