"""The names by which Bauplan's projects declare their models, in both generations of its API.

They are zerrow's own objects, so that models in either spelling can be mixed in one project.
"""

import zerrow
from zerrow import *  # noqa: F403
from zerrow import __version__

from bauplan import standard_expectations, store

_NAMES = [name for name in zerrow.__all__ if not name.endswith("Error")]

__all__ = [*_NAMES, "__version__", "standard_expectations", "store"]
