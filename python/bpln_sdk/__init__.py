"""An older name of the package `bauplan`."""

from bauplan import *  # noqa: F403
from bauplan import __all__ as __all__
