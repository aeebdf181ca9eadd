"""A small project to plan."""

from __future__ import annotations

import datetime
import decimal
import os
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "python"))

from zerrow.errors import PlanError
from zerrow.plan import plan_project

INTERPRETER = os.path.join(os.path.realpath(os.path.dirname(sys.executable)), os.path.basename(sys.executable))

PROJECT_FILE = "project: {name: shop}\nsources:\n  sales: sales.parquet\n  shops: shops.parquet\n"

SALES = pa.table(
    {
        "id": pa.array([1, 2, 3], pa.int64()),
        "shop": pa.array([1, 2, 2], pa.int32()),
        "amount": pa.array([decimal.Decimal("1.50"), decimal.Decimal("2.25"), None], pa.decimal128(15, 2)),
        "day": pa.array([datetime.date(2024, 1, day) for day in (1, 2, 3)]),
        "note": pa.array(["a", None, "c"]),
        "weight": pa.array([0.5, None, 2.5]),
    }
)
SHOPS = pa.table({"shop": pa.array([1, 2], pa.int32()), "city": ["Rome", "Oslo"], "open": [True, False]})


class Shop:
    """A project of two source tables in a folder of its own, to which a test adds files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write({"zerrow_project.yml": PROJECT_FILE})
        pq.write_table(SALES, folder / "sales.parquet")
        pq.write_table(SHOPS, folder / "shops.parquet")

    def write(self, files: dict[str, str]) -> Shop:
        """Adds files, or replaces them."""
        for name, text in files.items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text(text, encoding="utf-8")
        return self

    def plan(self, **given: str) -> dict[str, Any]:
        """The project's plan."""
        return plan_project(self.folder, given)

    def errors(self, checks_filters: bool = False, **given: str) -> list[dict[str, Any]]:
        """All that is wrong with the project; there has to be something."""
        with pytest.raises(PlanError) as failure:
            plan_project(self.folder, given, checks_filters=checks_filters)
        return [error.as_json() for error in failure.value.errors]

    def model(self, name: str, **given: str) -> dict[str, Any]:
        """One model of the plan."""
        return next(model for model in self.plan(**given)["models"] if model["name"] == name)
