"""PyTorch modules and their checkpoints."""
