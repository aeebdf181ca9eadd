"""How a model gets one more package, in the way in which its project declares packages: a line to write."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from zerrow.plan.declarations import PythonModel

if TYPE_CHECKING:
    from zerrow.plan.project import Project

PACKAGE = "{package}"
"""What stands for the package's name in an advice."""
REQUIREMENTS = "requirements.txt"


def package_advice(model: PythonModel, project: Project) -> str:
    """What to do so that a model has a package; PACKAGE stands for its name."""
    declared, packages = model.environment, getattr(project.file, "packages", ())
    if not (declared and declared.packages):
        if packages:
            return f"add {PACKAGE!r} to 'packages:' of {packages[0].file}: {PACKAGE}: '*'"
        if os.path.isfile(os.path.join(project.file.folder, REQUIREMENTS)):
            return f"add a line to {REQUIREMENTS}: {PACKAGE}"
    version = (declared and declared.python) or ".".join(map(str, sys.version_info[:2]))
    listed = {**(declared.packages if declared else {}), PACKAGE: "*"}
    line = f"@{model.family}.python({version!r}, pip={listed!r})"
    if declared is None:
        return f"add {PACKAGE!r} to its packages: {line}"
    return f"add {PACKAGE!r} to its packages ({model.file}:{declared.line}): {line}"
