"""Post-training quantisation: from a float network and images to integers, without training."""
