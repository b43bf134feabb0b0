"""Round or prune column by column and compensate each error in the later columns (optimal brain surgery).

GPTQ (Frantar et al. 2022, arXiv 2210.17323) rounds weights so; SparseGPT (Frantar and Alistarh 2023, arXiv 2301.00774)
prunes them so.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

BLOCK = 128  # columns whose errors reach the later ones together


def compensation(hessian: torch.Tensor) -> torch.Tensor:
    """Return the upper Cholesky factor of the inverse, (…, F, F): its rows say how later columns make up for an error.

    With both axes reversed, the inverse of a lower factor is that upper one; LAPACK inverts a triangle many times
    faster than it makes the inverse out of a factor.
    """
    lower = torch.linalg.cholesky(hessian.flip(-1, -2))
    identity = torch.eye(hessian.shape[-1], dtype=hessian.dtype).expand_as(lower)
    inverse: torch.Tensor = torch.linalg.solve_triangular(lower, identity, upper=False)
    return inverse.flip(-1, -2)


def round_columns(
    weight: torch.Tensor, steps: torch.Tensor, limits: Sequence[tuple[int, int]], factor: torch.Tensor
) -> torch.Tensor:
    """Return integers (widths, G, k, F) for weights of that shape, each error moved to the later columns of its row.

    Errors reach the columns of the same block at once and those behind it in one matrix product.

    Args:
        weight: target weights.
        steps: the step of every weight, the same shape.
        limits: smallest and largest integer of every width.
        factor: (G, F, F), upper: its rows say how later columns make up for an earlier one's error.
    """
    lower, upper = (torch.tensor(ends, dtype=weight.dtype)[:, None, None] for ends in zip(*limits, strict=True))
    rest, size = weight.movedim(3, 0).contiguous(), steps.movedim(3, 0)  # columns first: each is contiguous
    integers = torch.empty_like(rest)
    for start in range(0, len(rest), BLOCK):
        block, beyond = rest[start : start + BLOCK], rest[start + BLOCK :]
        within = factor[:, start : start + BLOCK, start : start + BLOCK].permute(1, 2, 0).unsqueeze(3)
        errors = torch.empty_like(block)
        for column, value in enumerate(block):
            step = size[start + column]
            found = torch.round(value / step).clamp_(lower, upper)
            integers[start + column] = found
            errors[column] = (value - found * step) / within[column, column]
            block[column + 1 :] -= errors[column] * within[column, column + 1 :].unsqueeze(1)
        if len(beyond):
            ahead = factor[:, start : start + BLOCK, start + BLOCK :]
            beyond -= (errors.movedim(0, 3) @ ahead).movedim(3, 0)
    return integers.movedim(0, 3)
