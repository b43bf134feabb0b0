"""To and from other tools: Brevitas, QONNX, hls4ml."""
