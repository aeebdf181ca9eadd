"""zerrow's standard expectations under Bauplan's name."""

from zerrow.standard_expectations import *  # noqa: F403
from zerrow.standard_expectations import __all__ as __all__
