"""From a plan to the sources of an accelerator: templates rendered, folders written, sources checked."""
