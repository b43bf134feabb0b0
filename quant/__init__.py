"""From a trained model to the low- and high-precision pair and its calibrated cascade."""

import warnings

warnings.filterwarnings("ignore", "fast_hadamard_transform package not found")  # Brevitas: a kernel not used here
