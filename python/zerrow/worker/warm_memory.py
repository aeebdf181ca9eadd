"""The layout of a zygote's memory, on which it depends what its forks cost (warm_memory.h says how)."""

from __future__ import annotations

import ctypes


def gather(library: str) -> None:
    """Have Python's objects lie side by side from now on, in memory that can be huge pages.

    Before anything large is imported, hence without WorkerLibrary, which imports pyarrow. It says what is wrong with a
    library that doesn't load.
    """
    try:
        function = ctypes.PyDLL(library).zerrow_warm_memory_gather
    except (OSError, AttributeError):
        return
    function.restype, function.argtypes = None, []
    function()
