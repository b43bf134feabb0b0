"""Where simulators are built: kept between runs, and taken again only where nothing that they depend on changed."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def simulators(request: pytest.FixtureRequest) -> Path:
    """The folder of built simulators."""
    cache = request.config.cache
    assert cache is not None
    return cache.mkdir("simulators")
