"""A float graph made ready: tensors that share a type, and the form that each layer takes."""
