"""The fixtures that the tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from abi import Engine


@pytest.fixture
def engine() -> Iterator[Engine]:
    """Segments that are closed after the test."""
    engine = Engine()
    yield engine
    engine.close()
