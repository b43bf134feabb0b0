"""The transforms of Winograd tiles in torch, and their gradients."""
