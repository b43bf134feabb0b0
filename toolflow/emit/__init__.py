"""From a plan to the sources of an accelerator: templates rendered, folders written, sources checked."""

from toolflow import callable_stage

callable_stage(__name__)
