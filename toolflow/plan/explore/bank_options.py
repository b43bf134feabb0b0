"""How deep the banks of an engine may be on a board that has no room for all maps of a network."""

from __future__ import annotations

from typing import NamedTuple

from toolflow.engine.config import EngineConfig
from toolflow.plan.resources.count import ResourceCount
from toolflow.plan.resources.features import bank_use
from toolflow.plan.resources.memory import map_memory

LEAST_WORDS = 64
PER_DOUBLING = (2, 3)  # depths tried: so many times a power of two


class Banks(NamedTuple):
    """A depth of the banks, and what each lane saves by it against banks that hold all maps."""

    depth: int
    saved: ResourceCount


class BankOptions:
    """The depths of banks that do not hold all maps, and what they take on a family of devices.

    Args:
        config: an engine whose banks hold all maps.
        family: of the device.
    """

    def __init__(self, config: EngineConfig, family: str) -> None:
        self._config, self._family = config, family
        self._whole = whole = self._amounts(config, family, config.bank_depth)
        self._at: dict[int, Banks] = {}
        depths = sorted({times << doubling for times in PER_DOUBLING for doubling in range(5, 19)}, reverse=True)
        self._options: list[Banks] = []
        for depth in depths:
            if LEAST_WORDS <= depth < config.bank_depth:
                saved = whole + self._amounts(config, family, depth) * -1
                if saved.block_rams > 0 or saved.urams > 0:
                    self._options.append(Banks(depth, saved))

    @staticmethod
    def _amounts(config: EngineConfig, family: str, depth: int) -> ResourceCount:
        use = bank_use(config.model_copy(update={"bank_depth": depth}))
        return map_memory(family, use.words, use.piece_bits, use.pieces, ultra=use.ultra).count

    def at(self, depth: int) -> Banks:
        """Return banks of any depth, which may save less than nothing."""
        if depth not in self._at:
            self._at[depth] = Banks(depth, self._whole + self._amounts(self._config, self._family, depth) * -1)
        return self._at[depth]

    def most(self, lanes_p: int, amounts: ResourceCount, usable: ResourceCount) -> Banks | None:
        """Return the deepest banks with which an engine that takes too much memory fits, None if none are needed or do.

        Args:
            lanes_p: of the engine.
            amounts: what it takes with banks that hold all maps.
            usable: of the board.
        """
        blocks, ultra = amounts.block_rams - usable.block_rams, amounts.urams - usable.urams
        if blocks <= 0 and ultra <= 0:
            return None
        for banks in self._options:
            if banks.saved.block_rams * lanes_p >= blocks and banks.saved.urams * lanes_p >= ultra:
                return banks
        return None
