"""What asks the world is found by its name, however the name came about; what only looks like it is kept."""

from __future__ import annotations

from typing import Any

import pytest

HEAD = "import zerrow\n\n\n"
MODEL = "@zerrow.model({options})\ndef a(s=zerrow.Model('sales', columns=['id', 'note'])):\n    {body}\n    return s\n"


def because(shop: Any, head: str, body: str, options: str = "", files: dict[str, str] | None = None) -> str | None:
    """Why the result of a model with this body is not kept."""
    text = f"{head}\n{HEAD}" + MODEL.format(options=options, body=body.replace("\n", "\n    "))
    shop.write({"m.py": text, **(files or {})})
    model = shop.model("a")
    assert (model["key"] is None) == (model["because"] is not None)
    return model["because"]


ASKING = [
    ("import time", "x = time.time()", "time.time"),
    ("from time import time as t", "x = t()", "time.time"),
    ("import time as clock", "x = [clock.perf_counter_ns() for _ in s]", "time.perf_counter_ns"),
    ("from time import *", "x = time_ns()", "time.time_ns"),
    ("import time", "x = time.strftime('%Y')", "time.strftime"),
    ("import time", "x = time.localtime()", "time.localtime"),
    ("import time", "x = getattr(time, 'time')()", "time.time"),
    ("import time", "x = getattr(time, 'ti' + 'me')()", "time"),
    ("import time\nmoment = time.time", "x = moment()", "time.time"),
    ("", "import time as t\nx = t.monotonic()", "time.monotonic"),
    ("", "x = __import__('time').time()", "time.time"),
    ("import importlib", "x = importlib.import_module('time').time()", "time.time"),
    ("import sys", "x = sys.modules['time'].time()", "time.time"),
    ("", "x = eval('__import__(\"time\").time()')", "time.time"),
    ("import datetime", "x = datetime.datetime.now()", "datetime.datetime.now"),
    ("import datetime as dt", "x = dt.date.today()", "datetime.date.today"),
    ("from datetime import datetime", "x = datetime.utcnow()", "datetime.datetime.utcnow"),
    ("from datetime import datetime as d", "x = map(d.fromtimestamp, [d.now().timestamp()])", "datetime.datetime.now"),
    ("import numpy as np", "x = np.datetime64('now')", "numpy.datetime64('now')"),
    ("import numpy as np", "x = np.array(['today'], dtype='datetime64[D]')", "numpy.array('today')"),
    ("import numpy as np", "word = 'now'\nx = np.datetime64(word)", "numpy.datetime64('now')"),
    ("import pandas as pd", "x = pd.Timestamp('now')", "pandas.Timestamp('now')"),
    ("import pandas as pd", "x = pd.Timestamp.now(tz='UTC')", "pandas.Timestamp.now"),
    ("import pandas as pd", "x = pd.to_datetime('today')", "pandas.to_datetime('today')"),
    ("import pandas as pd", "x = pd.date_range(end='now', periods=3)", "pandas.date_range('now')"),
    ("import arrow", "x = arrow.utcnow()", "arrow.utcnow"),
    ("import uuid", "x = uuid.uuid4()", "uuid.uuid4"),
    ("from uuid import uuid1", "x = str(uuid1())", "uuid.uuid1"),
    ("import secrets", "x = secrets.token_hex(4)", "secrets.token_hex"),
    ("import random", "x = random.random()", "random.random"),
    ("import random", "random.seed()\nx = random.random()", "random.random"),
    ("from random import choice", "x = choice([1, 2])", "random.choice"),
    ("import random", "x = random.Random().random()", "random.Random"),
    ("import random", "random.seed(1)\nx = random.SystemRandom().random()", "random.SystemRandom"),
    ("import os", "x = os.urandom(4)", "os.urandom"),
    ("import numpy as np", "x = np.random.rand(3)", "numpy.random.rand"),
    ("import numpy.random as r", "x = r.randint(3)", "numpy.random.randint"),
    ("from numpy import random", "x = random.randint(3)", "numpy.random.randint"),
    ("import numpy as np", "x = np.random.default_rng().random()", "numpy.random.default_rng"),
    ("from numpy.random import default_rng", "x = default_rng(None).random()", "numpy.random.default_rng"),
    ("import numpy as np", "x = np.random.RandomState().rand()", "numpy.random.RandomState"),
    ("import pyarrow.compute as pc", "x = pc.random(3)", "pyarrow.compute.random"),
    ("", "x = s.to_pandas().sample(n=2)", "s.to_pandas().sample"),
    ("import polars as pl", "x = pl.from_arrow(s).sample(2)", "pl.from_arrow(s).sample"),
    ("import polars as pl", "x = pl.col('a').shuffle()", "pl.col('a').shuffle"),
    ("", "x = hash('text')", "hash"),
    ("", "x = id(s)", "id"),
    ("import os", "x = os.environ['HOME']", "os.environ"),
    ("from os import environ", "x = environ.get('HOME')", "os.environ"),
    ("from os import getenv as e", "x = e('HOME')", "os.getenv"),
    ("import os", "x = os.getpid()", "os.getpid"),
    ("import os", "x = os.uname().nodename", "os.uname"),
    ("import os.path", "x = os.path.expanduser('~')", "os.path.expanduser"),
    ("import sys", "x = sys.argv", "sys.argv"),
    ("import socket", "x = socket.gethostname()", "socket.gethostname"),
    ("import platform", "x = platform.node()", "platform.node"),
    ("import getpass", "x = getpass.getuser()", "getpass.getuser"),
    ("import threading", "x = threading.get_ident()", "threading.get_ident"),
    ("import locale", "x = locale.getlocale()", "locale.getlocale"),
    ("import subprocess", "x = subprocess.run(['date'])", "subprocess.run"),
    ("import requests", "x = requests.get('http://a')", "requests.get"),
    ("from urllib.request import urlopen", "x = urlopen('http://a')", "urllib.request.urlopen"),
    ("", "x = open('/etc/passwd').read()", "the path '/etc/passwd'"),
    ("import duckdb", "x = duckdb.sql('select now()')", "now() in SQL"),
    ("import duckdb", "x = duckdb.sql('select current_date as d from s')", "current_date in SQL"),
    ("import duckdb", "x = duckdb.sql(f'select {1}, random() from s')", "random() in SQL"),
    ("import duckdb", "q = 'select * from s using sample 10%'\nx = duckdb.sql(q)", "using sample in SQL"),
    ("import duckdb", "x = duckdb.from_arrow(s).filter('day < current_date')", "current_date in SQL"),
    ("import polars as pl", "x = pl.sql_expr('random()')", "random() in SQL"),
    ("def later():\n    return datetime.now()\nfrom datetime import datetime", "x = later()", "datetime.datetime.now"),
    ("import datetime", "x = getattr(datetime.datetime, 'no' + 'w')()", "datetime.datetime"),
    ("import operator", "x = operator.methodcaller('now')(datetime.datetime)", "operator.methodcaller('now')"),
    ("import random", "random.seed(a=None)\nx = random.random()", "random.random"),
    ("from datafusion import functions as f", "x = s.select(f.random())", "datafusion.functions.random"),
    ("import duckdb", "x = duckdb.FunctionExpression('random')", "random()"),
    ("import time", f"x = {' + '.join(['1'] * 700)} + time.time()", "time.time"),
    ("", "x = sorted(['a'], key=hash)", "hash"),
    ("", "x = list(map(id, [s]))", "id"),
    ("import duckdb", "x = duckdb.sql('select ' + 'now()')", "now() in SQL"),
    ("import duckdb\ncolumns = ['uuid() as r']", "x = duckdb.sql('select ' + ', '.join(columns))", "uuid() in SQL"),
    ("import uuid\nclass C:\n    def f(self):\n        return uuid.uuid4()", "x = C().f()", "uuid.uuid4"),
]  # fmt: skip


@pytest.mark.parametrize(("head", "body", "what"), ASKING, ids=[f"{head}; {body}"[:80] for head, body, _ in ASKING])
def test_what_asks_the_world_is_named_with_its_line(shop: Any, head: str, body: str, what: str) -> None:
    said = because(shop, head, body)
    assert said is not None and said.startswith(f"{what} at m.py:"), said


ASKING_TODAY = [
    ("import pandas as pd", "x = pd.Timestamp('10:30')", "pandas.Timestamp('10:30')"),
    ("import pandas as pd", "x = pd.to_datetime(['9:05 pm'])", "pandas.to_datetime('9:05 pm')"),
    ("from dateutil import parser", "x = parser.parse('10:30')", "dateutil.parser.parse"),
    ("import email.utils", "x = email.utils.formatdate()", "email.utils.formatdate"),
    ("import gzip", "x = gzip.compress(b'x')", "gzip.compress"),
    ("import ctypes", "x = ctypes.CDLL(None).time(0)", "ctypes.CDLL"),
    ("import duckdb", "x = duckdb.sql(\"select age(timestamp '2020-01-01')\")", "age() in SQL"),
    ("import sqlite3", "x = sqlite3.connect(':memory:').execute(\"select strftime('%f','now')\")", "'now' in SQL"),
]


@pytest.mark.parametrize(("head", "body", "what"), ASKING_TODAY, ids=[body for _, body, _ in ASKING_TODAY])
def test_what_takes_today_for_granted_is_named(shop: Any, head: str, body: str, what: str) -> None:
    said = because(shop, head, body)
    assert said is not None and said.startswith(f"{what} at m.py:"), said


KEPT = [
    ("import gzip", "x = gzip.compress(b'x', mtime=0), gzip.decompress(b'')"),
    (
        "import pandas as pd",
        "x = pd.Timestamp('2024-01-01 10:30'), pd.to_datetime('2024-01-01'), pd.Timedelta('10:30:00')",
    ),
    ("from dateutil import parser", "x = parser.parse('2024-01-01'), parser.parse('10:30', default=x)"),
    ("import duckdb", "x = duckdb.sql(\"select age(timestamp '2020-01-01', timestamp '2019-01-01')\")"),
    ("import time", "time.sleep(1)"),
    ("import time", "x = time.strptime('2024', '%Y'), time.strftime('%Y', time.gmtime(0))"),
    ("import datetime", "x = datetime.datetime(2024, 1, 1) + datetime.timedelta(days=1)"),
    ("from datetime import datetime, date", "x = datetime.fromisoformat('2024-01-01'), date(2024, 1, 1)"),
    ("today = 1", "x = s['today'], today, 'now', \"datetime.now()\"  # datetime.now()"),
    ("", "x = s.today"),
    ("", '"""Select from what time.time() and now() gave."""'),
    ("import numpy as np", "x = np.datetime64('2024-01-01'), np.array(['a'])"),
    ("import pandas as pd", "x = pd.Timestamp('2024-01-01'), pd.to_datetime(s['day']), s['state'] == 'now'"),
    ("import random", "x = random.Random(7).sample([1, 2], 1)"),
    ("import random", "r = random.Random(7)\nr.shuffle([1])\nx = r.sample([1, 2], 1), r.random()"),
    ("import random", "random.seed(7)\nx = random.random()"),
    ("import numpy as np", "x = np.random.default_rng(42).random(3)"),
    ("import numpy as np", "x = np.random.default_rng(seed=42).random(3)"),
    ("import numpy as np", "np.random.seed(1)\nx = np.random.rand(3)"),
    ("import numpy as np", "def f(rng: np.random.Generator): return rng.normal()\nx = f(np.random.default_rng(1))"),
    ("import uuid", "x = uuid.uuid5(uuid.NAMESPACE_DNS, 'a'), uuid.UUID(int=1)"),
    ("", "x = s.to_pandas().sample(n=2, random_state=1)"),
    ("import polars as pl", "x = pl.from_arrow(s).sample(2, seed=1)"),
    ("import os", "x = os.path.join('a', 'b'), os.sep, os.path.dirname(__file__)"),
    ("", "def id(x): return 1\nx = id(2)"),
    ("import duckdb", "x = duckdb.sql('select today, \"current_date\" from s -- now()')"),
    ("import duckdb", "x = duckdb.sql(\"select 'now()' as a from s\")"),
    ("import polars as pl", "x = pl.from_arrow(s).select('current_date')"),
    ("", "x = 'now() is text', s.sql('select 1 from s')"),
    ("from urllib.parse import quote", "x = quote('a b')"),
    ("", "x = '/api/v1/now', '/'"),
    ("import pyarrow.compute as pc", "x = getattr(pc, 'su' + 'm')(s['id'])"),
    ("import random", "random.seed(a=3)\nx = random.random()"),
    ("import logging", "logging.getLogger('a').info('now')"),
    ("def never():\n    import time\n    return time.time()", "x = 1"),
    ("def model():\n    pass", "x = s.schema, s.nbytes"),
]


@pytest.mark.parametrize(("head", "body"), KEPT, ids=[f"{head}; {body}" for head, body in KEPT])
def test_what_only_looks_like_it_is_kept(shop: Any, head: str, body: str) -> None:
    assert because(shop, head, body) is None


@pytest.mark.parametrize(
    ("head", "body", "helper"),
    [
        ("from help import stamp", "x = stamp()", "import time\ndef stamp():\n    return time.time()\n"),
        ("import help", "x = help.stamp()", "from time import time as stamp\n"),
        ("from help import *", "x = stamp()", "from time import time as stamp\n"),
        ("import help", "x = help.time.time()", "import time\n"),
        ("from help import dt", "x = dt.datetime.now()", "import datetime as dt\n"),
        ("from help import C", "x = C().f()", "import time\nclass C:\n    def f(self):\n        return time.time()\n"),
        ("import help", "x = help.STARTED", "import time\nSTARTED = time.time()\n"),
        ("import lib.clock", "x = lib.clock.t()", ""),
        ("import help", "x = getattr(help, 'clo' + 'ck')()", "import time\ndef clock():\n    return time.time()\n"),
        ("from help import F", "x = F['a']()", "import time\ndef clock():\n    return time.time()\nF = {'a': clock}\n"),
    ],
)
def test_a_helper_that_asks_is_followed(shop: Any, head: str, body: str, helper: str) -> None:
    files = {"help.py": helper, "lib/clock.py": "from time import time as t\n"}
    said = because(shop, head, body, files=files)
    assert said is not None and ("time" in said or "datetime" in said), said


def test_a_helpers_function_that_nobody_names_asks_nothing(shop: Any) -> None:
    helper = "import time\ndef stamp():\n    return time.time()\ndef other():\n    return 1\n"
    assert because(shop, "from help import other", "x = other()", files={"help.py": helper}) is None


def test_a_module_of_the_project_is_not_the_one_it_is_named_like(shop: Any) -> None:
    files = {"random.py": "def random(): return 4\n"}
    assert because(shop, "import random", "x = random.random()", files=files) is None


def test_a_module_named_like_one_that_python_finds_first_hides_no_clock(shop: Any) -> None:
    said = because(shop, "import time", "x = time.time()", files={"time.py": "def time(): return 4\n"})
    assert said == "time.time at m.py:7"
    asking = MODEL.format(options="", body="x = random.random()")
    shop.write({"random.py": "import zerrow, random\n" + asking, "m.py": ""})
    assert shop.model("a")["because"] == "random.random at random.py:4"


def test_only_the_model_that_asks_is_not_kept(shop: Any) -> None:
    shop.write({
        "m.py": "import time\n" + HEAD + MODEL.format(options="", body="x = time.time()")
        + "@zerrow.model()\ndef b(s=zerrow.Model('sales')):\n    return s\n"
        + "@zerrow.model()\ndef c(t=zerrow.Model('a')):\n    return t\n",
    })  # fmt: skip
    found = {model["name"]: model["because"] for model in shop.plan()["models"]}
    assert found["b"] is None and found["sales"] is None
    assert found["a"] == "time.time at m.py:7" and found["c"] == "its input a isn't kept"


def test_default_written_out_keeps_whatever_is_asked(shop: Any) -> None:
    assert because(shop, "import time", "x = time.time()", "cache_strategy='DEFAULT'") is None
    assert because(shop, "", "x = 1", "cache_strategy='DEFAULT', internet_access=True") is None
    assert because(shop, "", "x = 1", "internet_access=True") == "it has access to the network"
    assert because(shop, "", "x = 1", "cache_strategy='NONE'") == 'it says cache_strategy="NONE"'
    shop.write({"q.sql": "-- zerrow: cache_strategy = DEFAULT\nselect now() as n from shops"})
    assert shop.model("q")["because"] is None and shop.model("q")["repeatable"] is True


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        ("select now() as n from shops", "now()"),
        ("select city, CURRENT_DATE as n from shops", "current_date"),
        ("select city, current_timestamp as n from shops", "current_timestamp"),
        ("select city, random() as n from shops", "random()"),
        ("select city, ago(interval 1 day) as n from shops", "ago()"),
        ("select city, cast('now' as date) as n from shops", "'now'"),
        ("select city, uuid() as n from shops", "uuid()"),
        ("select city, today() as n from shops", "today()"),
        ("select city, version() as n from shops", "version()"),
        ("select city from shops using sample 10%", "a sample"),
        ("select city, 'now()' as n from shops -- now()", None),
        ("select city as now, city as current_date from shops", None),
        ('select "current_date" from (select city as "current_date" from shops)', None),
        ("select today from (select city as today from shops)", None),
    ],
)
def test_a_query_that_asks_is_named_with_its_line(shop: Any, sql: str, what: str | None) -> None:
    shop.write({"q.sql": f"-- a comment\n{sql}"})
    assert shop.model("q")["because"] == (None if what is None else f"{what} at q.sql:2")
