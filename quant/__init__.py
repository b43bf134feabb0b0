"""From a trained model to the low- and high-precision pair and its calibrated cascade."""
