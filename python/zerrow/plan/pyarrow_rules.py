"""Which pyarrow goes with what a project pins: data that packages don't tell a resolver themselves.

Workers need pyarrow, 15 or newer. pyarrow 26 refuses NumPy 1 once it is imported, and its metadata don't say so; old
releases of other packages can't be loaded with NumPy 2, and theirs don't say so either. So an environment is resolved
like this:

1. `refusal(requirements, python)` is an error that is known before; None goes on.
2. Resolve `requirements` and what `additions(requirements)` adds to them.
3. `constraint_after(resolved)` are constraints for another resolution, in lines; None: the first will do. What the
   project itself asks for is never changed, so there may be no second solution: `problem(resolved)` of the first one is
   the reason to show then.
4. `problem(resolved)` of what is to be installed is an error; None: it will do.

`requirements` are lines as pip takes them; `resolved` has the version of each package by its name, however that is
spelt; `python` is the version of Python, such as "3.12". Nothing here reads files or asks a resolver.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

PYARROW_MIN = 15
"""The oldest pyarrow that workers run with."""

PYARROW_NEEDS_NUMPY_2 = 26
"""The first pyarrow that can't be imported beside NumPy 1. All from PYARROW_MIN on go with NumPy 1.22 and newer."""

PYARROW_FOR_PYTHON = {"3.10": (15, 25), "3.11": (15, None), "3.12": (15, None), "3.13": (18, None), "3.14": (22, None)}
"""The first and the last pyarrow that is there as a wheel for a Python; None: the newest there was at this writing, 26.
Without a wheel it would have to be built, for which a machine needs Arrow's C++ libraries."""

FIRST_WITH_NUMPY_2 = {"pandas": "2.2.2", "scikit-learn": "1.4.2", "shapely": "2.0.4"}
"""The first releases of packages that can be loaded with NumPy 2, where some before don't say that they can't."""

_EXACT = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^]]*\])?\s*={2,3}\s*(?P<version>[0-9][^\s;,#]*)\s*(?:[;#]|$)"
)
_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")


def additions(requirements: Iterable[str]) -> list[str]:
    """The lines to resolve beside those of a project."""
    if "pyarrow" in {_name_of(line) for line in requirements}:
        return ["pyarrow"]
    return [f"pyarrow>={PYARROW_MIN}"]


def refusal(requirements: Iterable[str], python: str) -> str | None:
    """Why there can be no environment with these: what is wrong and what to do. None where nothing is known."""
    found = _exact_versions(requirements).get("pyarrow")
    if found is None:
        return None
    if _release(found) < (PYARROW_MIN,):
        return _too_old(found)
    first, last = PYARROW_FOR_PYTHON.get(python, (PYARROW_MIN, None))
    if _release(found) < (first,):
        return f"there is no pyarrow {found} for Python {python}: take {first} or newer, or an older Python"
    if last is not None and _release(found) >= (last + 1,):
        return f"there is no pyarrow {found} for Python {python}: take {last} or older, or a newer Python"
    return None


def constraint_after(resolved: Mapping[str, str]) -> str | None:
    """The constraints, one a line, under which packages have to be resolved again; None where they may stay."""
    versions = _by_name(resolved)
    if _of_numpy_1(versions):
        # A solution with NumPy 1 is another one, which may have a newer pyarrow.
        return f"numpy<2\npyarrow<{PYARROW_NEEDS_NUMPY_2}"
    if _has_refusing_pyarrow(versions):
        return f"pyarrow<{PYARROW_NEEDS_NUMPY_2}"
    return None


def problem(resolved: Mapping[str, str]) -> str | None:
    """Why a worker can't run with these packages: what is wrong and what to do. None where it can."""
    versions = _by_name(resolved)
    pyarrow = versions.get("pyarrow")
    if pyarrow is None:
        return f"the environment has no pyarrow: add pyarrow>={PYARROW_MIN}"
    if _release(pyarrow) < (PYARROW_MIN,):
        return _too_old(pyarrow)
    numpy = versions.get("numpy")
    if numpy is None:
        return None
    for name in _of_numpy_1(versions):
        return (
            f"{name} {versions[name]} can't be loaded with NumPy {numpy}: take NumPy 1 (numpy<2), or {name} "
            f"{FIRST_WITH_NUMPY_2[name]} or newer"
        )
    if _has_refusing_pyarrow(versions):
        return (
            f"pyarrow {pyarrow} can't be loaded with NumPy {numpy}: take pyarrow {PYARROW_NEEDS_NUMPY_2 - 1} or older "
            f"(pyarrow<{PYARROW_NEEDS_NUMPY_2}), or NumPy 2"
        )
    return None


def _too_old(version: str) -> str:
    return f"pyarrow {version} is too old for zerrow: take {PYARROW_MIN} or newer"


def _has_refusing_pyarrow(versions: Mapping[str, str]) -> bool:
    is_numpy_1 = "numpy" in versions and _release(versions["numpy"]) < (2,)
    return is_numpy_1 and _release(versions.get("pyarrow", "0")) >= (PYARROW_NEEDS_NUMPY_2,)


def _of_numpy_1(versions: Mapping[str, str]) -> list[str]:
    """Those packages that can't be loaded with the NumPy 2 that is among them."""
    if _release(versions.get("numpy", "0")) < (2,):
        return []
    return [
        name
        for name, first in FIRST_WITH_NUMPY_2.items()
        if name in versions and _release(versions[name]) < _release(first)
    ]


def _exact_versions(requirements: Iterable[str]) -> dict[str, str]:
    """The versions that lines of the form `name==version` pin, by name."""
    found = (_EXACT.match(line.strip()) for line in requirements)
    return {_canonical(each["name"]): each["version"] for each in found if each}


def _by_name(resolved: Mapping[str, str]) -> dict[str, str]:
    return {_canonical(name): version for name, version in resolved.items()}


def _name_of(line: str) -> str:
    found = _NAME.match(line)
    return _canonical(found[1]) if found else ""


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _release(version: str) -> tuple[int, ...]:
    """The numbers at the beginning of a version, zeros at their end left out; empty where there are none."""
    found = re.match(r"\s*v?(?:\d+!)?(\d+(?:\.\d+)*)", version)
    numbers = [int(part) for part in found[1].split(".")] if found else []
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)
