"""The names that ask the world: their value is another one at another time, in another process or on another
machine."""

from __future__ import annotations

from collections.abc import Mapping

CLOCKS = frozenset(
    f"time.{name}{unit}"
    for name in ("time", "monotonic", "perf_counter", "process_time", "thread_time", "clock_gettime")
    for unit in ("", "_ns")
)

MENTIONED = CLOCKS | {
    "time.tzname", "time.timezone", "time.altzone", "time.daylight",
    "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today",
    "uuid.uuid1", "uuid.uuid4", "uuid.uuid6", "uuid.uuid7", "uuid.getnode",
    "random.SystemRandom", "sys.argv", "threading.get_ident", "threading.get_native_id", "threading.current_thread",
    "_thread.get_ident", "_thread.get_native_id", "multiprocessing.current_process", "pathlib.Path.home",
    "os.environ", "os.environb", "os.getenv", "os.getenvb", "os.getpid", "os.getppid", "os.getpgid", "os.getpgrp",
    "os.getsid", "os.getuid", "os.geteuid", "os.getgid", "os.getegid", "os.getgroups", "os.getresuid", "os.getresgid",
    "os.getlogin", "os.uname", "os.cpu_count", "os.process_cpu_count", "os.sched_getaffinity", "os.times",
    "os.getloadavg", "os.urandom", "os.getrandom", "os.system", "os.popen", "os.get_terminal_size", "os.sysconf",
    "os.ttyname", "os.path.getatime", "os.statvfs", "os.path.expanduser", "os.path.expandvars", "posix.environ",
    "multiprocessing.cpu_count", "email.utils.make_msgid", "logging.makeLogRecord", "logging.LogRecord", "ctypes.CDLL",
    "ctypes.cdll", "ctypes.PyDLL",
}  # fmt: skip
"""Names that count however they are used: called, passed on, given another name."""

BELOW = (
    "secrets", "socket", "requests", "urllib.request", "urllib3", "http.client", "httpx", "aiohttp", "ftplib",
    "smtplib", "imaplib", "poplib", "telnetlib", "xmlrpc.client", "boto3", "botocore", "s3fs", "gcsfs", "paramiko",
    "websocket", "websockets", "pycurl", "subprocess", "platform", "locale", "psutil", "getpass", "pwd", "grp",
    "resource", "faker",
)  # fmt: skip
"""Modules of which everything counts, but for constants and for classes that are only named."""

HARMLESS = frozenset({"secrets.compare_digest", "urllib.request.pathname2url", "urllib.request.url2pathname"})

BEGINNINGS = ("os.exec", "os.spawn", "os.posix_spawn")
"""The beginnings of the names of functions that start other programs."""

TIMES_FROM_NOW: Mapping[str, int] = {
    "time.gmtime": 1, "time.localtime": 1, "time.ctime": 1, "time.asctime": 1, "time.strftime": 2,
    "email.utils.formatdate": 1, "email.utils.localtime": 1, "http.cookiejar.time2isoz": 1,
    "http.cookiejar.time2netscape": 1,
}  # fmt: skip
"""Functions that mean the present moment when they are given fewer arguments than this."""

SEEDED: Mapping[str, tuple[str, ...]] = {
    "random.": ("random.seed", "random.setstate"),
    "numpy.random.": ("numpy.random.seed", "numpy.random.set_state"),
    "torch.": ("torch.manual_seed", "torch.random.manual_seed"),
}
"""Functions with one state for the whole process, each with the functions that seed it."""

GENERATORS = frozenset(
    {"random.Random"}
    | {f"numpy.random.{name}" for name in ("default_rng", "RandomState", "SeedSequence", "PCG64", "PCG64DXSM")}
    | {f"numpy.random.{name}" for name in ("MT19937", "Philox", "SFC64")}
)
"""Generators of random numbers: made without a seed, each gives others."""

UNSEEDED = GENERATORS | {"random.SystemRandom"}
"""Generators that a seed for the whole process does not affect."""

NO_CHANCE = frozenset(
    {f"random.{name}" for name in ("seed", "setstate", "getstate", "Random")}
    | {f"numpy.random.{name}" for name in ("seed", "set_state", "get_state", "Generator", "BitGenerator")}
)
"""The members of modules of chance that give no chance by themselves."""

TORCH_CHANCE = frozenset(
    f"torch.{name}"
    for name in ("rand", "randn", "rand_like", "randn_like", "randint", "randperm", "normal", "bernoulli")
)

MODULES = frozenset({"time", "datetime", "random", "uuid", "os", "sys", "numpy.random", "secrets", "socket"})
"""Modules that nobody passes on as they are, except to look up a name that can't be read."""

LOOKED_INTO = frozenset({"datetime.datetime", "datetime.date", "pandas.Timestamp", "numpy.random"})
"""The things in which a name that can't be read may be looked up."""

EXPRESSIONS = ("datafusion.functions.", "datafusion.f.", "ibis.", "duckdb.functional.")
"""Where functions of SQL are functions of Python."""

METHODS_OF_NOW = frozenset({"now", "utcnow", "today"})
"""Methods that tell the time, whatever they are methods of."""

METHODS_OF_CHANCE = frozenset({"sample", "shuffle"})
"""Methods of data frames and columns that choose by chance where no seed is given."""

SEED_WORDS = frozenset({"seed", "random_state", "rng", "generator", "initializer"})

BUILTINS = frozenset({"hash", "id", "input"})

NOW = frozenset({"now", "today"})
"""Texts that numpy and pandas take for the present."""

MOMENTS = frozenset({"Timestamp", "to_datetime", "DatetimeIndex", "Period", "date_range"})
"""The functions of pandas that take a time of day for one of today."""

SQL_WORDS = frozenset(
    {
        "now", "today", "current_date", "current_time", "current_timestamp", "current_localtime",
        "current_localtimestamp", "localtime", "localtimestamp", "current_user", "session_user", "current_role",
        "current_catalog", "current_database", "current_schema", "current_schemas", "current_setting",
        "current_query", "get_current_time", "get_current_timestamp", "transaction_timestamp", "statement_timestamp",
        "clock_timestamp", "txid_current", "pg_backend_pid", "connection_id", "rand", "random", "randn", "setseed",
        "uuid", "uuidv4", "uuidv7", "gen_random_uuid", "generate_uuid", "nextval", "currval", "lastval", "getenv",
        "getvariable", "version", "pg_postmaster_start_time", "pg_conf_load_time",
        "ago", "current_transaction_id", "current_datetime", "curdate", "curtime", "sysdate",
        "getdate", "current_connection_id", "current_query_id", "duckdb_settings", "duckdb_memory", "pragma_version",
    }
)  # fmt: skip
"""Functions of SQL whose result may be another one each time they are called."""

SQL_BARE_WORDS = frozenset(
    {
        "current_date", "current_time", "current_timestamp", "localtime", "localtimestamp", "current_user",
        "session_user", "current_role", "current_catalog", "current_schema",
    }
)  # fmt: skip
"""The ones among them that need no parentheses."""

WORDS = METHODS_OF_NOW | METHODS_OF_CHANCE | SQL_WORDS | {
    "hash",
    "attrgetter", "methodcaller", "FunctionExpression", "getattr", "eval", "exec", "__import__", "import_module",
    "expanduser", "modules", "random", "rank", "torch", "Timestamp", "to_datetime", "compress", "parse",
    "time2isoz", "time2netscape",
}  # fmt: skip
"""Every statement that asks the world has at least one of these words, unless by a name that the file gives itself."""
