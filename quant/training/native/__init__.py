"""Convolution layers to train through on a CPU, in C++: sums, batch norm, residual and activation in a few passes."""
