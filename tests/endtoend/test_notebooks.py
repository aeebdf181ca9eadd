"""`zerrow.run` in notebooks: cells are executed by a real kernel, and their outputs looked at."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from html.parser import HTMLParser

import nbformat
import pytest
from command import HOME, ZERROW, Project, wait_until
from nbclient import NotebookClient
from processes import descendants, is_alive

MODELS = """
import zerrow

@zerrow.model()
def loud(data=zerrow.Model("numbers")):
    import time
    print("<b>bold</b> begins", flush=True)
    time.sleep(1)
    print("ends", flush=True)
    return data

@zerrow.model()
def last(data=zerrow.Model("loud")):
    return data.append_column("t<i>", data["s"])
"""


class Kernel:
    """A notebook whose cells are executed one after the other in one kernel."""

    def __init__(self, project: Project) -> None:
        self.notebook = nbformat.v4.new_notebook()
        self.client = NotebookClient(
            self.notebook,
            timeout=300,
            allow_errors=True,
            resources={"metadata": {"path": str(project.folder.parent)}},
        )
        self.updates: list[str] = []
        self.environment = project.environment({"PYTHONPATH": str(HOME / "python"), "ZERROW_COMMAND": str(ZERROW)})

    def __call__(self, text: str) -> list:
        """The outputs of a cell."""
        cell = nbformat.v4.new_code_cell(text)
        self.notebook.cells.append(cell)
        self.client.execute_cell(cell, len(self.notebook.cells) - 1)
        return cell.outputs


@pytest.fixture
def kernel(project: Project):
    project.write("models.py", MODELS)
    kernel = Kernel(project)
    client = kernel.client
    client.create_kernel_manager()
    client.km.kernel_spec.argv[0] = sys.executable
    client.start_new_kernel(env=kernel.environment)
    client.start_new_kernel_client()
    process = client.process_message

    def note(message, cell, index):
        if message["msg_type"] in ("display_data", "update_display_data"):
            kernel.updates.append(message["content"]["data"].get("text/html", ""))
        return process(message, cell, index)

    client.process_message = note
    yield kernel
    client._cleanup_kernel()


class Tags(HTMLParser):
    """The tags of a text, which must be closed in their order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.seen.add(tag)
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag != "br":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def html(outputs: list) -> str:
    """The last HTML among the outputs, as a browser would take it."""
    text = [each["data"]["text/html"] for each in outputs if "text/html" in each.get("data", {})][-1]
    tags = Tags(text)
    assert not tags.seen & {"script", "iframe", "img", "b>", "i"}
    assert len(text) < 100_000
    return text


def test_a_run_shows_its_graph_its_models_and_its_tables(kernel: Kernel, project: Project):
    outputs = kernel(f"import zerrow\nrun = zerrow.run({str(project.folder)!r})\nrun")
    text = html(outputs)
    assert "success in" in text and "<svg" in text and text.count("<rect") == 3 and text.count("<path") == 2
    assert all(f">{name}</td>" in text for name in ("numbers", "loud", "last"))
    assert "reshared" in text
    # The display of its progress was updated, and says at its end what models printed; their text is text.
    progress = [update for update in kernel.updates if "of 3 models" in update]
    assert any("running loud" in update for update in progress)
    assert "loud │ &lt;b&gt;bold&lt;/b&gt; begins" in kernel.updates[-1] and "models" not in kernel.updates[-1]
    plain = [each["data"]["text/plain"] for each in outputs if "text/plain" in each.get("data", {})][-1]
    assert re.match(r"Run [0-9a-f]+: success in [\d,]+ ms \(3 success\)", plain)
    assert "last: 1,000 rows" in plain

    table = html(kernel("run.tables['last']"))
    assert "t&lt;i&gt;" in table and "int64" in table and "1,000 rows, 4 columns" in table
    assert all(f">{cell}</td>" in table for cell in ("0", "row 4", "row 995", "998", "1998"))
    assert ">row 5</td>" not in table
    assert "1,000" in html(kernel("run.tables"))
    assert html(kernel(f"zerrow.query('select 1 as one', {str(project.folder)!r})"))


def test_a_failed_run_is_an_error_with_the_commands_text(kernel: Kernel, project: Project):
    project.write("bad.py", "import zerrow\n\n@zerrow.model()\ndef bad(t=zerrow.Model('loud')):\n    return t['no']\n")
    outputs = kernel(f"import zerrow\nzerrow.run({str(project.folder)!r}, progress=False)")
    error = outputs[-1]
    assert error["output_type"] == "error" and error["ename"] == "RunError"
    assert "model 'bad'" in error["evalue"]
    assert kernel.updates == []
    text = html(kernel(f"run = zerrow.run({str(project.folder)!r}, check=False)\nrun"))
    assert "failed in" in text and "bad" in text and "KeyError" in text


def test_interrupting_the_kernel_stops_the_run(kernel: Kernel, project: Project):
    project.write(
        "slow.py",
        """
        import zerrow

        @zerrow.model(cache_strategy="NONE")
        def slow(data=zerrow.Model("numbers")):
            import time
            print("slow begins", flush=True)
            time.sleep(600)
            return data
        """,
    )
    pid = kernel.client.km.provisioner.pid
    started: list[int] = []

    def interrupt() -> None:
        wait_until(lambda: any("slow begins" in update for update in kernel.updates), seconds=120)
        started.extend(descendants(pid))
        os.kill(pid, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    outputs = kernel(f"import zerrow\nzerrow.run({str(project.folder)!r}, select='slow')")
    thread.join()
    assert outputs[-1]["ename"] == "KeyboardInterrupt"
    assert len(started) >= 3
    wait_until(lambda: not any(map(is_alive, started)), what="the end of all that was started")
    # The kernel goes on, and runs again.
    rows = kernel(f"len(zerrow.run({str(project.folder)!r}, select='last').tables['last'])")
    assert rows[-1]["data"]["text/plain"] == "1000"


def test_a_loop_that_runs_is_no_hindrance(kernel: Kernel, project: Project):
    """The cell is a coroutine, in the loop of the kernel."""
    outputs = kernel(
        "import asyncio, zerrow\n"
        "await asyncio.sleep(0)\n"
        f"runs = await asyncio.gather(*(asyncio.to_thread(zerrow.query, 'select %d as n' % n, {str(project.folder)!r})"
        " for n in (1, 2)))\n"
        f"direct = zerrow.query('select 3 as n', {str(project.folder)!r})\n"
        "[each['n'][0].as_py() for each in [*runs, direct]]"
    )
    assert outputs[-1]["data"]["text/plain"] == "[1, 2, 3]"
