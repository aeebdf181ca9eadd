"""Gives each test a small project of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from shop_project import Shop


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A project of two source tables and no models."""
    return Shop(tmp_path)
