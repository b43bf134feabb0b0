"""Convolution layers for training on a CPU, in C++: sums, batch norm, residual and activation in a few passes."""
