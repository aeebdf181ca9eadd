"""zerrow: data pipelines of isolated processes that share Arrow tables without copying them.

Models are declared with what is here. What scripts and notebooks run projects with is loaded when it is first named: a
worker that imports this package pays nothing for it.
"""

from typing import TYPE_CHECKING

from zerrow import standard_expectations, store
from zerrow.authoring import (
    Model,
    ModelCacheStrategy,
    ModelMaterializationStrategy,
    Parameter,
    expectation,
    extras,
    model,
    python,
    resources,
)
from zerrow.errors import PlanError, ZerrowError
from zerrow.schema import (
    Any,
    Binary,
    Bool,
    Date32,
    Date64,
    Decimal128,
    Float64,
    Int32,
    Int64,
    String,
    TableField,
    TableSchema,
    TimestampMicro,
    TimestampMicroUTC,
    TimestampNano,
    TimestampNanoUTC,
)

if TYPE_CHECKING:
    from zerrow import testing as testing
    from zerrow.client.run import ModelState as ModelState
    from zerrow.client.run import Run as Run
    from zerrow.client.run import RunError as RunError
    from zerrow.client.starting import query as query
    from zerrow.client.starting import run as run

_LATER = {
    "ModelState": "zerrow.client.run",
    "Run": "zerrow.client.run",
    "RunError": "zerrow.client.run",
    "query": "zerrow.client.starting",
    "run": "zerrow.client.starting",
}
"""The names that are loaded when they are first used, with their modules."""

__all__ = [
    "Any",
    "Binary",
    "Bool",
    "Date32",
    "Date64",
    "Decimal128",
    "Float64",
    "Int32",
    "Int64",
    "Model",
    "ModelCacheStrategy",
    "ModelMaterializationStrategy",
    "Parameter",
    "PlanError",
    "String",
    "TableField",
    "TableSchema",
    "TimestampMicro",
    "TimestampMicroUTC",
    "TimestampNano",
    "TimestampNanoUTC",
    "ZerrowError",
    "expectation",
    "extras",
    "model",
    "python",
    "resources",
    "standard_expectations",
    "store",
]
__version__ = "0.1.0"

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        import importlib

        if name == "testing":
            return importlib.import_module("zerrow.testing")
        if name not in _LATER:
            raise AttributeError(f"module 'zerrow' has no attribute {name!r}")
        value = globals()[name] = getattr(importlib.import_module(_LATER[name]), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *_LATER, "testing"})
