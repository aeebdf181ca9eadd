"""The names by which Bauplan's projects declare their models, in both generations of its API.

They are zerrow's own objects, so that models in either spelling can be mixed in one project.
"""

from zerrow import (
    Any,
    Binary,
    Bool,
    Date32,
    Date64,
    Float64,
    Int32,
    Int64,
    Model,
    ModelCacheStrategy,
    ModelMaterializationStrategy,
    Parameter,
    String,
    TableField,
    TableSchema,
    TimestampMicro,
    TimestampMicroUTC,
    TimestampNano,
    TimestampNanoUTC,
    __version__,
    expectation,
    extras,
    model,
    python,
    resources,
)

from bauplan import standard_expectations, store

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
    "String",
    "TableField",
    "TableSchema",
    "TimestampMicro",
    "TimestampMicroUTC",
    "TimestampNano",
    "TimestampNanoUTC",
    "__version__",
    "expectation",
    "extras",
    "model",
    "python",
    "resources",
    "standard_expectations",
    "store",
]
