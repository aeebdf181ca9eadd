"""What a model asks the world for as it runs is seen where its text doesn't tell it, and only then."""

from __future__ import annotations

from typing import Any

import pytest
from small_engine import Engine

ASKING = [
    ("import time", "x = getattr(time, 'ti' + 'me')()", "time.time at models.py:3"),
    ("import importlib", "x = vars(importlib.import_module('ti' + 'me'))['perf_counter']()",
     "time.perf_counter at models.py:3"),
    ("import os", "x = getattr(os, 'uran' + 'dom')(4)", "os.urandom at models.py:3"),
    ("import numpy as np", "x = getattr(np.random, 'default_' + 'rng')().random()", "os.urandom at models.py:3"),
    ("import random", "x = getattr(random, 'rand' + 'om')()", "random without a seed"),
    ("import random", "f = getattr(random, 'rand' + 'om')\n    f()\n    random.seed(1)", "random without a seed"),
    ("import numpy as np", "x = getattr(np.random, 'ra' + 'nd')(3)", "numpy.random without a seed"),
    ("import pandas as pd", "x = getattr(pd.Series([1, 2]), 'sam' + 'ple')()", "numpy.random without a seed"),
    ("import email.utils", "x = email.utils.formatdate()", "time.time at models.py:3"),
    ("import gzip", "x = gzip.compress(b'1')", "time.time at models.py:3"),
    ("class C:\n    from time import time as t", "x = C.t()", "time.time at models.py:4"),
    ("import socket", "x = getattr(socket, 'gethost' + 'name')()", "socket.gethostname at models.py:3"),
    ("import os", "x = getattr(os, 'una' + 'me')()", "os.uname at models.py:3"),
    ("", "x = open('/pr' + 'oc/uptime').read()", "the path '/proc/uptime' at models.py:3"),
    ("from pathlib import Path", "x = Path('/', 'etc', 'passwd').read_text()",
     "the path '/etc/passwd' at models.py:3"),
    ("import os", "x = os.listdir('/' + 'etc')", "the path '/etc' at models.py:3"),
    ("import numpy as np", "seed = None\n    x = np.random.RandomState(seed).rand()", "os.urandom at models.py:4"),
    ("import os\nos.makedirs('.venv', exist_ok=True)\nopen('.venv/x', 'w').close()", "x = open('.venv/x').read()",
     "the path '.venv/x', which is a tool's at models.py:5"),
    ("import multiprocessing as m, os",
     "p = m.get_context('spawn').Process(target=os.getpid)\n    p.start()\n    p.join()",
     "processes that multiprocessing.popen_spawn_posix started"),
]  # fmt: skip


@pytest.mark.parametrize(("head", "body", "what"), ASKING, ids=[body for _, body, _ in ASKING])
def test_what_is_asked_is_named(engine: Engine, project: Any, head: str, body: str, what: str) -> None:
    task = project(f"{head}\ndef model():\n    {body}\n    return {{'a': [1]}}\n")
    outcome = engine.run({**task, "planned_ns": 0, "watched": True})
    assert outcome.table is not None, outcome.error
    assert outcome.table.asked is not None and what in outcome.table.asked, outcome.table.asked


KEPT = [
    ("import random", "random.seed(3)\n    x = random.random()"),
    ("import numpy as np", "np.random.seed(3)\n    x = np.random.rand()"),
    ("import numpy as np, random", "x = np.random.default_rng(3).random(), random.Random(3).random()"),
    ("import numpy as np", "x = np.random.RandomState(42).rand()"),
    ("import numpy as np", "seed = 42\n    x = np.random.RandomState(seed=seed).rand()"),
    ("import pandas as pd", "x = pd.Series([1, 2]).sample(1, random_state=1)"),
    ("import logging", "logging.warning('a')"),
    ("import tempfile", "x = tempfile.NamedTemporaryFile().read()"),
    ("import multiprocessing, concurrent.futures", "concurrent.futures.ThreadPoolExecutor(2).submit(len, []).result()"),
    ("import pandas as pd", "x = pd.Timestamp('2024-01-01', tz='Europe/Paris').day_name()"),
    ("import zoneinfo, datetime as d", "x = d.datetime(2024, 1, 1, tzinfo=zoneinfo.ZoneInfo('Asia/Tokyo')).ctime()"),
    ("import polars as pl", "x = pl.DataFrame({'a': [1]}).group_by('a').len()"),
    ("import duckdb", "x = duckdb.sql('select 1').fetchall()"),
    ("import datafusion", "x = datafusion.SessionContext().sql('select 1').collect()"),
    ("", "x = open('models.py').read()"),
    ("import time", "time.sleep(0.001)"),
    ("import json, decimal, statistics, csv, calendar", "x = statistics.mean([1, 2])"),
]


@pytest.mark.parametrize(("head", "body"), KEPT, ids=[body for _, body in KEPT])
def test_what_does_not_change_the_result_is_not_named(engine: Engine, project: Any, head: str, body: str) -> None:
    task = project(f"{head}\ndef model():\n    {body}\n    return {{'a': [1]}}\n")
    outcome = engine.run({**task, "planned_ns": 0, "watched": True})
    assert outcome.table is not None, outcome.error
    assert outcome.table.asked == []


def test_a_clock_that_has_been_seen_is_the_original_again(engine: Engine, project: Any) -> None:
    body = "now = getattr(time, 'ti' + 'me')\n    now()\n    assert type(time.time) is type(len) and time.time() > 0"
    task = project(f"import time\ndef model():\n    {body}\n    return {{'a': [1]}}\n")
    outcome = engine.run({**task, "planned_ns": 0, "watched": True})
    assert outcome.table is not None, outcome.error
