"""A random program with every opcode and flag, and the code in which the executor ends a program."""

from __future__ import annotations

import math

import numpy as np

from tests.unit.emit.hls_programs import Job, Map, ProgramBuilder
from toolflow.engine.config import EngineConfig
from toolflow.engine.errors import EngineFaultError
from toolflow.engine.executor import run_program


def everything(config: EngineConfig, seed: int, count: int) -> Job:
    """A network that uses every opcode and flag, with shapes drawn from `seed`; each map is traced."""
    b = ProgramBuilder(config, np.random.default_rng(seed))
    S, lanes = config.sub_row, config.lanes_k
    wide = config.input_lanes == S and config.table_words > 1 and b.flip()
    in_channels = b.draw(S + 1, 2 * S) if wide else b.draw(1, config.input_lanes)
    digits = 1 if wide or config.digit_bits == 8 else b.draw(1, 2)
    maps = b.image(b.draw(4, 6), b.draw(4, 6), in_channels, digits)
    b.trace(maps[0])

    first = b.conv(maps[-1], b.draw(1, 2 * lanes + 1), (3, 3), pad=(1, 1), levels=b.draw(1, 3))
    b.trace(first)
    strided = b.conv(
        first,
        b.draw(1, lanes + 1),
        (b.draw(1, 3), b.draw(1, 3)),
        stride=(2, b.draw(1, 2)),
        pad=(1, b.draw(0, 2)),
        indexed=b.flip(),
    )
    b.trace(strided)
    dilated = b.conv(first, b.draw(1, S), (2, 2), dilation=(2, b.draw(1, 2)), pad=(1, 1), indexed=True)
    b.trace(dilated)

    if config.external_maps:
        b.trace(b.load_rows(b.draw(0, 3)))
        b.bands(first)

    # A residual block: same place for output and residual, and a padded, sub-sampling shortcut.
    channels = first.channels
    same = b.conv(first, channels, (1, 1), residual=first, into=(first.base, first.words))
    b.trace(same)
    half = b.conv(same, channels, (1, 1), stride=(2, 2))
    offset = b.draw(0, 3) * config.drain_k
    padded = b.conv(half, channels + 2 * offset, (1, 1), residual=same, residual_offset=offset)
    b.trace(padded)

    # Depthwise: each group of lanes_k channels reads from its own first word on.
    if lanes % S == 0 or S % lanes == 0:
        own = max(lanes // S, 1)
        total = math.ceil(padded.channels / lanes) * lanes
        if math.ceil(total / S) <= padded.words:
            b.trace(b.conv(padded, padded.channels, (2, 2), indexed=True, channel_step=lanes, sub_rows=own, pad=(1, 0)))

    if config.tile:
        tiles = [2, 4] if config.tile == 4 else [2]
        plain = b.conv(first, b.draw(1, lanes + 1), (3, 3), pad=(1, 1), tile=2)  # before any TAPS: no shifts
        b.trace(plain)
        b.taps()
        for tile in tiles:
            padding = (b.draw(0, 1), b.draw(0, 2))
            outputs, levels = b.draw(1, lanes + 2), b.draw(1, 3)
            sparse = b.conv(plain, outputs, (3, 3), pad=padding, tile=tile, indexed=b.flip(), levels=levels)
            b.trace(sparse)
        b.taps()
        place = first.base, first.words
        b.conv(plain, channels, (3, 3), pad=(1, 1), tile=b.draw(1, len(tiles)) * 2, residual=first, into=place)
        b.trace(first)

    # Two producers side by side in one map, then pooling over it.
    left, right = b.draw(1, 2) * S, b.draw(1, S)
    words = left // S + 1
    base = b.allocate(first.height * first.width * words)
    b.conv(first, left, (1, 1), into=(base, words))
    joined = b.conv(first, right, (1, 1), into=(base + left // S, words))
    both = Map(base, joined.height, joined.width, words, left + right, joined.signed)
    b.trace(both)
    pooled = b.max_pool(both, (b.draw(1, 3), 2), (2, b.draw(1, 2)), (0, b.draw(0, 1)), ceil=b.flip())
    b.trace(pooled)

    classes = b.draw(1, min(config.result_depth, 2 * lanes + 1))
    own = b.draw(1, classes)  # of the first layer
    for part in (own, classes - own):
        if part:
            b.conv(pooled, part, (pooled.height, pooled.width), to_result=True)
    n = b.draw(0, 8)
    return b.finish(count, m=b.draw(0, n), n=n)


def executor_code(config: EngineConfig, job: Job, program: bytes) -> int:
    """Return the code in which the numpy executor ends a program with a job's data."""
    try:
        run_program(config, program, job.weights, job.images, job.count)
    except EngineFaultError as fault:
        return fault.code
    return 0
