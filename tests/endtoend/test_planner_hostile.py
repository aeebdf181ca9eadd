"""Of projects that are made to harm the planner each is an error that names the file, or no error; made here."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import Project
from planning import MODEL, limited, plan, refused


def _fifo(project: Project) -> None:
    os.mkfifo(project.folder / "models.py")


def _fifo_of_yaml(project: Project) -> None:
    (project.folder / "zerrow_project.yml").unlink()
    os.mkfifo(project.folder / "zerrow_project.yml")


def _socket(project: Project) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        folder = os.open(project.folder, os.O_RDONLY)
        listening.bind(f"/proc/self/fd/{folder}/models.py")
        os.close(folder)


def _zero(project: Project) -> None:
    (project.folder / "models.py").symlink_to("/dev/zero")


def _zero_of_yaml(project: Project) -> None:
    (project.folder / "zerrow_project.yml").unlink()
    (project.folder / "zerrow_project.yml").symlink_to("/dev/zero")


def _own_memory(project: Project) -> None:
    (project.folder / "models.py").symlink_to("/proc/self/mem")


def _kernel_log(project: Project) -> None:
    (project.folder / "models.sql").symlink_to("/proc/kmsg")


def _loop(project: Project) -> None:
    (project.folder / "models.py").symlink_to("models.py")


def _loop_of_yaml(project: Project) -> None:
    (project.folder / "zerrow_project.yml").unlink()
    (project.folder / "zerrow_project.yml").symlink_to("zerrow_project.yml")


def _folder_of_yaml(project: Project) -> None:
    (project.folder / "zerrow_project.yml").unlink()
    (project.folder / "zerrow_project.yml").mkdir()


def _huge(project: Project) -> None:
    with (project.folder / "models.py").open("wb") as file:
        file.truncate(1 << 40)


def _huge_yaml(project: Project) -> None:
    with (project.folder / "zerrow_project.yml").open("wb") as file:
        file.truncate(1 << 40)


def _bomb(project: Project) -> None:
    lists = "\n".join(f"  b{i}: &b{i} [{', '.join([f'*b{i - 1}'] * 9)}]" for i in range(1, 12))
    project.write("zerrow_project.yml", f"sources:\n  b0: &b0 [x]\n{lists}\n")


def _one_alias(project: Project) -> None:
    project.write("zerrow_project.yml", "sources:\n  a: &a data/numbers.parquet\n  numbers: *a\n")


def _merge_key(project: Project) -> None:
    project.write("zerrow_project.yml", "x: &x {path: a}\nsources:\n  numbers:\n    <<: *x\n")


def _deep_yaml(project: Project) -> None:
    project.write("zerrow_project.yml", "sources: " + "[" * 200_000 + "]" * 200_000)


def _rather_deep_yaml(project: Project) -> None:
    project.write("zerrow_project.yml", "sources: " + "[" * 200 + "]" * 200)


def _wide_yaml(project: Project) -> None:
    project.write("zerrow_project.yml", "sources: [" + "a," * 400_000 + "a]")


def _deep_python(project: Project) -> None:
    project.write("models.py", "import zerrow\nx = " + "(" * 5000 + ")" * 5000)


def _long_sum(project: Project) -> None:
    project.write("models.py", "x = " + "+".join(["a"] * 200_000))


def _deep_attributes(project: Project) -> None:
    project.write("models.py", "x = a" + ".b" * 100_000)


def _deep_filter(project: Project) -> None:
    condition = "(" * 20_000 + "a = 1" + ")" * 20_000
    project.write(
        "models.py",
        f"import zerrow\n@zerrow.model()\ndef m(n=zerrow.Model('numbers', filter='{condition}')):\n    return n\n",
    )


def _filter(condition: str) -> str:
    return f"""import zerrow


@zerrow.model()
def m(
    n=zerrow.Model(
        "numbers",
        filter="{condition}",
    ),
):
    return n
"""


def _long_filter(project: Project) -> None:
    project.write("models.py", _filter(" or ".join(f"a > {number}" for number in range(20_000))))


def _long_sum_in_a_filter(project: Project) -> None:
    project.write("models.py", _filter("a" + " + 1" * 4000 + " > 0"))


def _deep_sql(project: Project) -> None:
    project.write("deep.sql", "SELECT " + "(" * 20_000 + "1" + ")" * 20_000 + " AS a FROM numbers")


def _every_file(project: Project) -> None:
    project.write("zerrow_project.yml", "sources:\n  numbers: /**/*.parquet\n")


def _every_file_by_parents(project: Project) -> None:
    project.write("zerrow_project.yml", "sources:\n  numbers: " + "../" * 60 + "**/*.parquet\n")


def _the_root(project: Project) -> None:
    project.write("zerrow_project.yml", "sources:\n  numbers: /\n")


def _processes(project: Project) -> None:
    project.write("zerrow_project.yml", "sources:\n  numbers: /proc/**/*.parquet\n")


def _own_maps(project: Project) -> None:
    project.write("zerrow_project.yml", "sources:\n  numbers: /proc/self/maps\n")


def _zero_source(project: Project) -> None:
    (project.folder / "data/zero.parquet").symlink_to("/dev/zero")
    project.write("zerrow_project.yml", "sources:\n  numbers: data/zero.parquet\n")


def _fifo_source(project: Project) -> None:
    os.mkfifo(project.folder / "data/fifo.parquet")
    project.write("zerrow_project.yml", "sources:\n  numbers: data/*.parquet\n")


def _source_loop(project: Project) -> None:
    (project.folder / "data/loop.parquet").symlink_to("loop.parquet")
    project.write("zerrow_project.yml", "sources:\n  numbers: data/*.parquet\n")


def _long_name(project: Project) -> None:
    project.write("zerrow_project.yml", f"sources:\n  numbers: {'x/' * 5000}a.parquet\n")


def _nul_in_path(project: Project) -> None:
    project.write("zerrow_project.yml", 'sources:\n  numbers: "data/\\0.parquet"\n')


def _sparse_footer(project: Project) -> None:
    with (project.folder / "data/sparse.parquet").open("wb") as file:
        file.truncate(1 << 40)
        file.seek((1 << 40) - 8)
        file.write((0x7FFFFFF0).to_bytes(4, "little") + b"PAR1")
    project.write("zerrow_project.yml", "sources:\n  numbers: data/sparse.parquet\n")


def _zip(project: Project) -> None:
    (project.folder / "data/bomb.parquet").write_bytes(b"PK\x03\x04" + b"\0" * 100)
    project.write("zerrow_project.yml", "sources:\n  numbers: data/bomb.parquet\n")


def _utf_16(project: Project) -> None:
    (project.folder / "zerrow_project.yml").write_bytes("sources: {}".encode("utf-16"))


def _unknown_encoding(project: Project) -> None:
    project.write("models.py", "# coding: zerrow-evil\n")


def _newline_in_name(project: Project) -> None:
    os.mkfifo(project.folder / "a\nb\x1b[31m.py")


HOSTILE = {
    _fifo: ("models.py", "a named pipe"),
    _fifo_of_yaml: ("zerrow_project.yml", "a named pipe"),
    _socket: ("models.py",),
    _zero: ("models.py", "link that leaves the project"),
    _zero_of_yaml: ("zerrow_project.yml", "link that leaves the project"),
    _own_memory: ("models.py", "link that leaves the project"),
    _kernel_log: ("models.sql", "link that leaves the project"),
    _loop: ("models.py",),
    _loop_of_yaml: ("zerrow_project.yml",),
    _folder_of_yaml: ("zerrow_project.yml", "a folder"),
    _huge: ("models.py", "larger than 16 MiB"),
    _huge_yaml: ("zerrow_project.yml", "larger than 1 MiB"),
    _bomb: ("zerrow_project.yml", "alias"),
    _one_alias: ("zerrow_project.yml:3", "alias", "write the value itself"),
    _merge_key: ("zerrow_project.yml", "alias"),
    _deep_yaml: ("zerrow_project.yml", "nesting"),
    _rather_deep_yaml: ("zerrow_project.yml", "more than 32 levels"),
    _wide_yaml: ("zerrow_project.yml", "values"),
    _deep_python: ("models.py",),
    _long_sum: ("models.py",),
    _deep_attributes: ("models.py",),
    _deep_filter: ("models.py",),
    _long_filter: ("models.py:8", "the filter is too long", "column in (…)"),
    _long_sum_in_a_filter: ("models.py:8", "the filter is too long"),
    _deep_sql: ("deep.sql",),
    _every_file: ("numbers", "every file of the machine"),
    _every_file_by_parents: ("numbers", "every file of the machine"),
    _the_root: ("numbers", "every file of the machine"),
    _processes: ("numbers", "/proc"),
    _own_maps: ("numbers", "/proc/self/maps"),
    _zero_source: ("numbers", "zero.parquet"),
    _fifo_source: ("numbers", "fifo.parquet", "no regular file"),
    _source_loop: ("numbers", "loop.parquet"),
    _long_name: ("numbers",),
    _nul_in_path: ("numbers", "NUL"),
    _sparse_footer: ("numbers", "sparse.parquet"),
    _zip: ("numbers", "bomb.parquet"),
    _utf_16: ("zerrow_project.yml",),
    _unknown_encoding: ("models.py",),
    _newline_in_name: ("a\\nb",),
}


@pytest.mark.parametrize("make", HOSTILE, ids=lambda make: make.__name__.strip("_"))
def test_a_hostile_project_is_a_message_that_names_the_file(project: Project, make):
    project.write("reader.sql", "SELECT * FROM numbers")
    make(project)
    refused(project, *HOSTILE[make])


@pytest.mark.parametrize("make", [_fifo, _bomb, _deep_sql, _zero_source], ids=lambda make: make.__name__.strip("_"))
def test_and_without_a_sandbox_too(project: Project, make):
    project.write("reader.sql", "SELECT * FROM numbers")
    make(project)
    done = plan(project, "--no-sandbox")
    assert done.returncode == 1
    assert HOSTILE[make][0] in done.stderr


def test_files_of_the_project_that_cannot_be_read_are_named(any_project: Project):
    any_project.write("models.py", MODEL)
    secret = any_project.write("secret.py", "x = 1\n")
    secret.chmod(0)
    done = plan(any_project)
    if any_project.caller.uid == 0:
        assert done.returncode in (0, 1)  # root's own file: it may be opened by its owner with rights only
    else:
        assert done.returncode == 1
        assert "secret.py can't be read" in done.stderr
    any_project.folder.chmod(0o311)
    if any_project.caller.uid != 0:
        assert "can't be read" in plan(any_project).stderr


def test_a_query_that_nests_too_deeply_is_a_message(project: Project):
    done = plan(project, "SELECT " + "(" * 20_000 + "1" + ")" * 20_000, command="query")
    assert done.returncode == 1
    assert "query" in done.stderr and "the planner failed" not in done.stderr


def test_a_long_expression_is_planned(project: Project):
    project.write("long.sql", "SELECT " + " + ".join(["a"] * 20_000) + " AS a FROM numbers")
    assert plan(project).returncode == 0


def test_many_other_files_are_looked_over(project: Project):
    many = project.folder / "many"
    many.mkdir()
    for number in range(30_000):
        (many / f"{number}.txt").touch()
    project.write("zerrow_project.yml", "sources:\n  numbers: ./*/*.parquet\n")
    project.write("reader.sql", "SELECT * FROM numbers")
    assert plan(project).returncode == 0


def test_what_takes_too_long_is_ended_with_the_limit_and_the_file(project: Project):
    limited(project)
    refused(project, "more than 2.5 s", "ZERROW_PLAN_TIMEOUT", "long", ZERROW_PLAN_TIMEOUT="2.5")


@pytest.mark.parametrize("name", ["models.py", "query.sql"])
def test_a_longer_chain_is_not_blamed_on_the_data(project: Project, name: str):
    conditions = " or ".join(f"a = {number}" for number in range(20_000))
    content = _filter(conditions) if name == "models.py" else f"SELECT a FROM numbers WHERE {conditions}"
    project.write(name, content)
    done = plan(project, command="run")
    assert done.returncode == 1
    assert ".parquet" not in done.stderr
    assert name.partition(".")[0] in done.stderr


def test_folders_however_deep_are_walked(project: Project):
    project.write("models.py", MODEL.replace("return", "open('x').read(); return"))
    here = os.open(project.folder, os.O_RDONLY)
    for number in range(3000):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
        if number == 1500:
            os.close(os.open(".env", os.O_WRONLY | os.O_CREAT, dir_fd=here))
    os.close(here)
    project.write(".gitignore", ".env\n")
    try:
        done = plan(project, "-O", "json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["hidden"]["covered"]
    finally:
        subprocess.run(["rm", "-rf", str(project.folder / "d")], check=True)


def test_rules_that_take_too_long_are_named(project: Project):
    project.write("models.py", MODEL)
    # Each line is tried with each file, letter by letter.
    lines = "".join("*" + "a" * 120 + f"{number}*b\n" for number in range(8000))
    project.write(".gitignore", lines)
    for number in range(4000):
        project.write(f"deep/{'a' * 240}{number}", "")
    project.write("deep/.gitignore", "short\n")
    said = refused(project, "more than 6 s", "ZERROW_PLAN_TIMEOUT", " .gitignore", ZERROW_PLAN_TIMEOUT="6")
    assert "models.py" not in said


def test_what_takes_too_much_memory_is_ended_with_the_limit(project: Project):
    limited(project)
    refused(project, "memory", "ZERROW_PLAN_MEMORY", "long0.py", ZERROW_PLAN_MEMORY="128M")


@pytest.mark.parametrize("name", ["ZERROW_PLAN_TIMEOUT", "ZERROW_PLAN_MEMORY"])
def test_a_limit_that_is_no_number_is_said(project: Project, name: str):
    project.write("models.py", MODEL)
    refused(project, name, **{name: "much"})


def write_liar(path: Path, values: int) -> None:
    """A Parquet file whose footer claims so many values for its column; it has 12345."""

    def number(value: int) -> bytes:
        value = (value << 1) ^ (value >> 63)
        text = b""
        while value > 127:
            text, value = text + bytes([value & 127 | 128]), value >> 7
        return text + bytes([value])

    table = pa.table({"a": pa.array(range(12345), pa.int64())})
    pq.write_table(table, path, use_dictionary=False, write_statistics=False, store_schema=False)
    content = path.read_bytes()
    start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    body, footer = content[:start], content[start:-8]
    own = number(12345)
    place = footer.index(own, footer.index(own) + 1)  # the first one is the rows of the file
    footer = footer[:place] + number(values) + footer[place + len(own) :]
    path.write_bytes(body + footer + len(footer).to_bytes(4, "little") + b"PAR1")
    assert pq.read_metadata(path).row_group(0).column(0).num_values == values


@pytest.mark.parametrize("values", [1 << 60, 1 << 62, (1 << 63) - 1, -5])
def test_a_footer_that_lies_gives_a_plan_or_a_message(project: Project, values: int):
    project.write("reader.sql", "SELECT a FROM numbers")
    write_liar(project.folder / "data" / "numbers.parquet", values)
    for words in ([], ["--no-stream"]):
        done = plan(project, "-O", "json", *words)
        if done.returncode == 0:
            models = json.loads(done.stdout)["models"]
            assert all(0 <= each["expected_bytes"] <= 1 << 60 for each in models if each["kind"] == "scan" or not words)
            assert [each["name"] for each in models] == [*(["numbers"] if words else []), "reader"]
        else:
            assert done.returncode == 1
            assert "numbers.parquet" in done.stderr
            assert "JSON" not in done.stderr


# ---- What the planner's process may do. ----
