"""Keep the same share of the channels in every layer, and find the share that a budget of cycles allows."""

from __future__ import annotations

from collections.abc import Mapping

from quant.mechanisms.cost import Pricing
from quant.mechanisms.rewrite.channels import ChannelMap
from toolflow.ir.errors import ToolflowError

HALVINGS = 12  # of the interval in which the share is searched


def count_gone(count: int, keep: float) -> int:
    """Return how many of `count` channels go where a share is kept: one stays at least."""
    return count - max(round(keep * count), 1)


def least_salient(
    channels: ChannelMap, keep: float, saliency: Mapping[int, float]
) -> Mapping[tuple[str, ...], set[int]]:
    """Return for the layers of each width the classes that go where a share is kept: those that matter least."""
    found = {}
    for width in channels.widths:
        order = sorted(width.classes, key=lambda each: (saliency.get(each, 0.0), each))
        found[width.layers] = channels.thinned(order, count_gone(len(order), keep))
    return found


def share_within(channels: ChannelMap, pricing: Pricing, budget: float, saliency: Mapping[int, float]) -> float:
    """Return the largest share of channels with which the network keeps a budget, a share of its cycles.

    Raises:
        ToolflowError: there is none.
    """

    def cycles(keep: float) -> float:
        return pricing.cycles(channels.without(set().union(*least_salient(channels, keep, saliency).values())))

    whole = pricing.cycles(channels.graph)
    lower, upper = 0.0, 1.0
    least = cycles(lower) / whole
    if least > budget:
        raise ToolflowError(
            f"--budget must be at least {least:.3f} for '{channels.graph.name}', not {budget}: with one channel a "
            "layer it takes that share of its cycles"
        )
    for _ in range(HALVINGS):
        middle = (lower + upper) / 2
        lower, upper = (middle, upper) if cycles(middle) <= budget * whole else (lower, middle)
    return lower
