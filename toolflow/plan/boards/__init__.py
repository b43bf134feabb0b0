"""Boards: what a board file says, and its checks."""
