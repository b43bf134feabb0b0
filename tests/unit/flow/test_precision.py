"""The options that a search chooses from."""

from __future__ import annotations

import pytest

from toolflow.flow.precision import AUTO, Precision
from toolflow.flow.search import Search
from toolflow.ir.unit import VariantName
from toolflow.numerics.srbs import Pattern

SIXTEENTHS = tuple(Pattern(kept, 16) for kept in (8, 6, 4, 3))
EIGHTHS = tuple(Pattern(kept, 8) for kept in (4, 3, 2))


@pytest.mark.parametrize(
    ("board", "engine", "patterns"),
    [
        (None, {}, SIXTEENTHS),
        ("zcu104", {}, SIXTEENTHS),
        ("zcu104", {"bus_bits": 64}, EIGHTHS),
        ("zcu104", {"sub_row": 4}, (Pattern(2, 4), Pattern(1, 4))),
        ("zcu104", {"sub_row": 32, "bus_bits": 256}, SIXTEENTHS),
        ("pynq-z2", {}, EIGHTHS),  # words of 16 channels need a bus of 128 bits
    ],
)
def test_patterns_are_no_longer_than_the_engines_words(
    board: str | None, engine: dict[str, int | str], patterns: tuple[Pattern, ...]
) -> None:
    asked = Search(Precision(pattern=AUTO), board=board, engine=engine)
    assert asked.space(VariantName.HIGH).patterns == (None, *patterns)
