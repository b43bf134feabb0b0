"""What a build measured, as data (`summary`), as tables (`tables`) and as a plot (`plot`)."""

from toolflow import callable_stage

callable_stage(__name__)
