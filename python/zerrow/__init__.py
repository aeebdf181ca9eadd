"""zerrow: data pipelines of isolated processes that share Arrow tables without copying them."""

from zerrow.authoring import Model, Parameter, model
from zerrow.errors import PlanError, ZerrowError

__all__ = ["Model", "Parameter", "PlanError", "ZerrowError", "model"]
__version__ = "0.1.0"
