"""What the end-to-end tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.projects import train_digits


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained network of the digits example and its images."""
    folder = tmp_path_factory.mktemp("digits")
    train_digits(folder)
    return folder
