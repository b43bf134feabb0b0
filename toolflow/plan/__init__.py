"""From a quantised graph and a board to a program for an engine that fits."""

from toolflow import callable_stage

callable_stage(__name__)
