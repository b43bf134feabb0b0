"""The cascade's rule: its calibration, its report, and whether it pays."""
