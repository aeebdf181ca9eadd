"""Objects that a model leaves for the models that read its table, directly or through others.

An object travels with the table, as its pickle, so a worker gets what comes with its inputs and can reach nothing else.
It is unpickled when it is loaded, in the sandbox of the model that loads it.
"""

from __future__ import annotations

from typing import Any

BYTES_MAX = 10 << 20
"""Bytes of all pickles that one model saves: they are part of a table's description, which is no place for data."""

_saved: dict[str, bytes] = {}
_found: dict[str, bytes] = {}


def save_obj(key: str, obj: Any) -> None:
    """Leaves an object for the models that read this model's table.

    Raises ValueError where it is too large to travel with one.
    """
    if not isinstance(key, str):
        raise TypeError(f"save_obj takes a name and an object; the name is a {type(key).__name__}")
    # Who imports zerrow seldom needs it.
    import pickle

    content = pickle.dumps(obj)
    size = len(content) + sum(len(each) for name, each in _saved.items() if name != key)
    if size > BYTES_MAX:
        raise ValueError(
            f"the object {key!r} makes {size} bytes of saved objects, more than the {BYTES_MAX >> 20} MiB that travel "
            "with a table: return it as a column of bytes"
        )
    _saved[key] = content


def load_obj(key: str) -> Any:
    """The object that a model saved whose table this one reads, directly or through others, or that this one saved.

    Raises KeyError where there is none.
    """
    import pickle

    content = _saved.get(key, _found.get(key))
    if content is None:
        known = ", ".join(sorted({*_saved, *_found})) or "none"
        raise KeyError(
            f"no object {key!r} came with the tables that this model reads (there are: {known}): save it in a model "
            "that this one reads, directly or through others"
        )
    return pickle.loads(content)


def saved() -> dict[str, bytes]:
    """The pickles to be passed on: those that came, and those that were saved here."""
    return {**_found, **_saved}


def begin(found: dict[str, bytes]) -> None:
    """Begins a model's work with the pickles that came with its inputs."""
    _saved.clear()
    _found.clear()
    _found.update(found)
