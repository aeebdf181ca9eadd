"""Names of packages by the modules that they give, where the two differ; and modules that Python had once."""

from __future__ import annotations

_PACKAGES = {
    "Bio": "biopython",
    "Crypto": "pycryptodome",
    "Cryptodome": "pycryptodomex",
    "Levenshtein": "python-levenshtein",
    "MySQLdb": "mysqlclient",
    "OpenSSL": "pyopenssl",
    "PIL": "pillow",
    "PyPDF2": "pypdf2",
    "_duckdb": "duckdb",
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "cgi": "legacy-cgi",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "discord": "discord.py",
    "distutils": "setuptools",
    "docx": "python-docx",
    "dotenv": "python-dotenv",
    "faiss": "faiss-cpu",
    "fitz": "pymupdf",
    "git": "gitpython",
    "github": "pygithub",
    "google.api_core": "google-api-core",
    "google.auth": "google-auth",
    "google.cloud": "google-cloud",
    "google.cloud.aiplatform": "google-cloud-aiplatform",
    "google.cloud.bigquery": "google-cloud-bigquery",
    "google.cloud.firestore": "google-cloud-firestore",
    "google.cloud.pubsub": "google-cloud-pubsub",
    "google.cloud.secretmanager": "google-cloud-secret-manager",
    "google.cloud.storage": "google-cloud-storage",
    "google.genai": "google-genai",
    "google.generativeai": "google-generativeai",
    "google.oauth2": "google-auth",
    "google.protobuf": "protobuf",
    "googleapiclient": "google-api-python-client",
    "gspread_dataframe": "gspread-dataframe",
    "haystack": "haystack-ai",
    "h3": "h3",
    "imblearn": "imbalanced-learn",
    "jose": "python-jose",
    "jwt": "pyjwt",
    "kafka": "kafka-python",
    "ldap": "python-ldap",
    "magic": "python-magic",
    "mpl_toolkits": "matplotlib",
    "nacl": "pynacl",
    "osgeo": "gdal",
    "pkg_resources": "setuptools",
    "pptx": "python-pptx",
    "psycopg2": "psycopg2-binary",
    "pylab": "matplotlib",
    "rest_framework": "djangorestframework",
    "ruamel": "ruamel.yaml",
    "serial": "pyserial",
    "setuptools": "setuptools",
    "sklearn": "scikit-learn",
    "skimage": "scikit-image",
    "skopt": "scikit-optimize",
    "slugify": "python-slugify",
    "snowflake.connector": "snowflake-connector-python",
    "snowflake.snowpark": "snowflake-snowpark-python",
    "sentence_transformers": "sentence-transformers",
    "telegram": "python-telegram-bot",
    "usb": "pyusb",
    "websocket": "websocket-client",
    "wx": "wxpython",
    "yaml": "pyyaml",
    "zmq": "pyzmq",
}
"""Packages by the beginning of a module's dotted name; the longest one counts."""

_LAST_PYTHON = {
    **dict.fromkeys(("asynchat", "asyncore", "imp", "smtpd"), "3.11"),
    **dict.fromkeys(
        (
            *("aifc", "audioop", "cgitb", "chunk", "crypt", "imghdr", "mailcap", "msilib", "nis", "nntplib"),
            *("ossaudiodev", "pipes", "sndhdr", "spwd", "sunau", "telnetlib", "uu", "xdrlib", "lib2to3"),
        ),
        "3.12",
    ),
}
"""The last Python that has a module of its own which it has no more, where no package is known to have it."""


def package_of(module: str) -> str:
    """The package that gives a module, by its dotted name: the module's own top name, where no other is known."""
    parts = module.split(".")
    for count in range(len(parts), 0, -1):
        found = _PACKAGES.get(".".join(parts[:count]))
        if found is not None:
            return found
    return parts[0].replace("_", "-")


def is_known(module: str) -> bool:
    """Whether a module is known to be a package's, and by which name."""
    parts = module.split(".")
    return any(".".join(parts[:count]) in _PACKAGES for count in range(1, len(parts) + 1))


def last_python_with(module: str) -> str | None:
    """The last Python that has a module, where it has been taken out since."""
    return _LAST_PYTHON.get(module.partition(".")[0])
