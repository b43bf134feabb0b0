"""Training: pruning, fine-tuning, and the loop that both share."""
