"""What scripts hand to the client, in the several ways that they do, checked and made one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from bauplan._values.refs import MAIN, NO_COMMIT, Ref
from bauplan._values.tables import Namespace, Table
from bauplan._values.words import Switch
from bauplan.exceptions import NamespaceUnresolvedError, RefNotFoundError, said

_PRIORITIES = range(1, 11)
ONE_BRANCH = f"zerrow has one branch, {MAIN!r}, for now"


def switch(name: str, value: object) -> Switch:
    """ "on" or "off", also where it was given as a bool; "" for None."""
    if value is None:
        return Switch("")
    if isinstance(value, bool):
        return Switch("on" if value else "off")
    if isinstance(value, str) and value in ("on", "off"):
        return Switch(value)
    raise ValueError(f"{name} must be 'on' or 'off', not {value!r}")


def check_ref(ref: str | Ref | None) -> None:
    """Refuse a ref that is not the one branch as it is now: other rows than were asked for are never read."""
    if ref is None or (isinstance(ref, Ref) and ref.name == MAIN and ref.hash == NO_COMMIT):
        return
    if not isinstance(ref, str | Ref):
        raise TypeError(f"a ref is a text or a Ref, not {type(ref).__name__}")
    text = str(ref)
    if text not in (MAIN, f"{MAIN}@{NO_COMMIT}"):
        raise said(RefNotFoundError, f"there is no ref {text!r}: {ONE_BRANCH}", input_ref=text)


def branch_name(branch: str | Ref) -> str:
    """The name of a branch or a tag."""
    if isinstance(branch, Ref):
        return branch.name
    if not isinstance(branch, str):
        raise TypeError(f"a branch is a text or a Branch, not {type(branch).__name__}")
    if not branch.strip():
        raise ValueError("the name is empty")
    return branch


def namespace_name(namespace: str | Namespace | None) -> str | None:
    """The name of a namespace."""
    if namespace is None or isinstance(namespace, str):
        return namespace or None
    if isinstance(namespace, Namespace):
        return namespace.name
    raise TypeError(f"a namespace is a text or a Namespace, not {type(namespace).__name__}")


def table_name(table: str | Table, namespace: str | Namespace | None = None) -> tuple[str | None, str]:
    """The namespace, if one was said anywhere, and the name of a table."""
    given = namespace_name(namespace)
    if isinstance(table, Table):
        said_namespace, name = table.namespace or None, table.name
    elif isinstance(table, str):
        first, _, name = table.rpartition(".")
        said_namespace = first or None
    else:
        raise TypeError(f"a table is a text or a Table, not {type(table).__name__}")
    if not name.strip():
        raise ValueError("the name of the table is empty")
    if given and said_namespace and given != said_namespace:
        message = f"the table {said_namespace}.{name} is not in the namespace {given!r}: say one of both"
        raise said(NamespaceUnresolvedError, message, table_name=name, namespace_name=given)
    return said_namespace or given, name


def common(args: Mapping[str, object] | None, priority: int | None) -> list[str]:
    """The arguments of every job."""
    words: list[str] = []
    for name, value in (args or {}).items():
        text = "true" if value is True else "false" if value is False else str(value)
        words += ["-a", f"{name}={text}"]
    if priority is not None:
        if isinstance(priority, bool) or not isinstance(priority, int) or priority not in _PRIORITIES:
            raise ValueError("priority must be between 1 and 10")
        words += ["--priority", str(priority)]
    return words


def seconds(client_timeout: float | None) -> float | None:
    """How long to wait; None for as long as it takes."""
    return client_timeout if client_timeout and client_timeout > 0 else None


def listed(value: object) -> list[Any]:
    """One value or several, as a list; nothing for None."""
    if value is None:
        return []
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str | bytes) else [value]


def folder_text(folder: str | os.PathLike[str]) -> str:
    """A folder as a text."""
    text = os.fspath(folder)
    return text.decode() if isinstance(text, bytes) else text
