"""Importers: a PyTorch module or an ONNX file becomes a `Graph`; `load.load_model` chooses."""
