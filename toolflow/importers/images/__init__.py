"""The images that come with a model: the calibration file and its pixels."""
