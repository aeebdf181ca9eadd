"""zerrow: data pipelines of isolated processes that share Arrow tables without copying them."""

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

__all__ = [
    "Any",
    "Binary",
    "Bool",
    "Date32",
    "Date64",
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
