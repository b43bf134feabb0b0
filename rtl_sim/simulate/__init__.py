"""Simulators: built once for each content, and the jobs that they run."""
