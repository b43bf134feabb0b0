"""Operator: a function of few linear segments."""
