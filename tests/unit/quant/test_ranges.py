"""Histograms of activations count every value, for any number of values."""

from __future__ import annotations

import numpy as np
import torch

from quant.post_training.ranges import BINS, histogram

MANY = (1 << 24) + (1 << 22) + 3  # float32 counts stop at 2^24


def test_counts_stay_exact_where_float32_stops_counting() -> None:
    x = torch.full((MANY,), -0.75)
    x[0], x[1] = 1.0, 0.0
    counted = histogram(x)
    assert (counted.largest, counted.zeros) == (1.0, 1)
    assert counted.counts[3 * BINS // 4] == MANY - 2
    assert counted.counts.sum() == MANY - 1


def test_zeros_leave_nothing_in_the_first_bin() -> None:
    x = torch.zeros(MANY)
    x[-1] = 2.0
    counted = histogram(x)
    assert (counted.largest, counted.zeros) == (2.0, MANY - 1)
    assert counted.counts[0] == 0
    assert counted.counts[-1] == 1


def test_magnitudes_equal_numpys_histogram_over_both_signs() -> None:
    x = torch.randn(5, 3, 17, 11, generator=torch.Generator().manual_seed(4))
    counted = histogram(x)
    magnitude = x.abs().numpy().ravel()
    expected, _ = np.histogram(magnitude, BINS, (0.0, float(magnitude.max())))
    assert counted.zeros == 0
    assert counted.largest == magnitude.max()
    assert np.abs(counted.counts - expected).sum() <= 4  # values on an edge may fall to either side


def test_a_tensor_of_zeros_has_no_range() -> None:
    counted = histogram(torch.zeros(4, 2))
    assert (counted.largest, counted.zeros) == (0.0, 8)
    assert not counted.counts.any()
