"""ONNX files: operators, constants, layouts."""
