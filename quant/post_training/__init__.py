"""From a float network and images to integers, without training."""
