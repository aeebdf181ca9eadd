"""How far a run is, for whoever looks: one display that is updated in a notebook, the command's own in a terminal."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zerrow.client.call import Call


class NotebookProgress:
    """One display of a notebook, updated as the run goes on, and taken away at its end.

    It is updated by the thread that waits for the run: displays belong to the cell that a thread executes.
    """

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._handle: Any = None
        self._shown = ""

    def update(self, call: Call) -> None:
        """Show what is known now, if it is something else than before."""
        from IPython.display import HTML, display

        from zerrow.client.html import progress_html

        text = progress_html(call, time.monotonic() - self._began)
        if text == self._shown:
            return
        self._shown = text
        if self._handle is None:
            self._handle = display(HTML(text), display_id=True)
        else:
            self._handle.update(HTML(text))

    def finish(self, call: Call) -> None:
        """Leave what models printed, and nothing else: the run's own display tells the rest."""
        from IPython.display import HTML

        from zerrow.client.html import log_html

        if self._handle is not None:
            self._handle.update(HTML(log_html(call)))


def progress_for(wanted: bool | None) -> NotebookProgress | None:
    """What shows a run here; None where a terminal, or nothing, does."""
    shell = _kernel_shell()
    if shell is None:
        return None
    from zerrow.client.html import register

    register(shell)
    return None if wanted is False else NotebookProgress()


def _kernel_shell() -> Any:
    """IPython's shell, if the kernel of a notebook runs this code; else None. Imports nothing."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell if hasattr(shell, "kernel") else None
