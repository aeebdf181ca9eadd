"""Models that attack the engine's protocol fail alone; the engine lives on and the others finish."""

import contextlib
import json
import os
import pty
import subprocess
import time
from pathlib import Path

import pytest
from command import HOME, Project

BINARY = Path(os.environ.get("ZERROW_COMMAND", HOME / ".build/release/zerrow"))

# What a hostile model does before it leaves. `send` speaks to the engine; `forge` publishes a changed descriptor.
PRELUDE = """
    import array, ctypes, gc, json, os, signal, socket, struct, subprocess, sys, threading, time
    import pyarrow as pa
    import zerrow

    def raw(data, descriptors=()):
        with socket.socket(fileno=os.dup(3)) as peer:
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
            peer.sendmsg([data], rights)

    def send(op, descriptors=(), **fields):
        raw(json.dumps({"op": op, **fields}).encode(), descriptors)

    def session():
        return next(value for value in gc.get_objects() if type(value).__name__ == "Session")

    COUNTS = {f"{way}_bytes": 0 for way in ("reshared", "born_shared", "deanonymized", "packed", "copied")}

    def publish(content, **fields):
        number = os.memfd_create("forged")
        os.write(number, content)
        send("published", [number], **{"rows": 5, "counts": COUNTS, "timing": {}, **fields})

    def published(table):
        _, number = session().publish(table.to_reader())
        return bytearray(os.pread(number, os.fstat(number).st_size, 0))

    # Nobody looks at a result of so much before its worker is dead.
    def large():
        return pa.table({"a": pa.array(range(100_000))})

    def room():
        send("wants-room")
        with socket.socket(fileno=os.dup(3)) as peer:
            data, descriptors, _, _ = socket.recv_fds(peer, 1 << 16, 4)
        return descriptors[0], json.loads(data)["segment"]

    # A room with a table in it, and the descriptor that names it.
    def filled_room():
        number, segment = room()
        table = pa.table({"a": pa.array(range(100_000))})
        _, descriptor = session().publish_to_disk(table.to_reader(), number, segment)
        return number, bytearray(os.pread(descriptor, os.fstat(descriptor).st_size, 0))

    # docs/sipc.md: the tables of a descriptor begin at byte 64.
    def parts(content):
        segments, messages, references = struct.unpack_from("<QQQ", content, 24)
        return 64, 64 + 16 * segments + 40 * messages, references

    def first_reference(content):
        _, at, count = parts(content)
        return next(at + 24 * i for i in range(count) if struct.unpack_from("<Q", content, at + 24 * i + 16)[0])

    def leave():
        os._exit(0)

    @zerrow.model()
    def good(numbers=zerrow.Model("numbers")):
        time.sleep(1)
        return numbers.append_column("c", numbers["a"])
"""

ATTACKS = {
    "closes_its_socket": "os.close(3)\nreturn numbers",
    "puts_another_file_in_its_place": "os.dup2(os.open('/dev/null', os.O_RDWR), 3)\nreturn numbers",
    "shuts_its_socket_down": "socket.socket(fileno=3).shutdown(socket.SHUT_RDWR)\nreturn numbers",
    "sends_garbage": "raw(b'\\xff\\x00garbage')\ntime.sleep(60)",
    "sends_no_object": "raw(b'[1,2,3]')\ntime.sleep(60)",
    "sends_a_deep_object": "raw(b'[' * 60_000 + b']' * 60_000)\ntime.sleep(60)",
    "sends_a_long_message": 'raw(b\'{"op":"running","x":"\' + b\'x\' * 150_000 + b\'"}\')\ntime.sleep(60)',
    "sends_an_empty_message": "raw(b'')\ntime.sleep(3)\nraise ValueError('unheard')",
    "sends_an_unknown_message": "send('launch')\ntime.sleep(60)",
    "starts_twice": "send('started')\ntime.sleep(60)",
    "runs_twice": "send('running')\ntime.sleep(60)",
    "sends_text": "send('done', text='hello')\nleave()",
    "sends_many_descriptors": 'raw(b\'{"op":"running"}\', [0] * 250)\ntime.sleep(60)',
    "sends_descriptors_with_no_result": "send('published', [], rows=5, counts=COUNTS, timing={})\nleave()",
    "sends_a_result_with_two_descriptors": "send('published', [0, 0], rows=5, counts=COUNTS, timing={})\nleave()",
    "sends_negative_rows": "publish(published(numbers), rows=-5)\nleave()",
    "sends_no_counts": "publish(published(numbers), counts=None)\nleave()",
    "publishes_nothing": "publish(b'')\nleave()",
    "publishes_noise": "publish(os.urandom(100_000))\nleave()",
    "publishes_a_pipe": "send('published', [os.pipe()[0]], rows=5, counts=COUNTS, timing={})\nleave()",
    "publishes_a_folder": "send('published', [os.open('/', 0)], rows=5, counts=COUNTS, timing={})\nleave()",
    "publishes_its_socket": "send('published', [3], rows=5, counts=COUNTS, timing={})\nleave()",
    "publishes_a_huge_hole": """
        number = os.memfd_create('huge')
        os.ftruncate(number, 1 << 40)
        send('published', [number], rows=5, counts=COUNTS, timing={})
        leave()""",
    "publishes_a_hole_that_is_allowed": """
        number = os.memfd_create('hole')
        os.ftruncate(number, 1 << 20)
        send('published', [number], rows=5, counts=COUNTS, timing={})
        leave()""",
    "publishes_a_device": "send('published', [os.open('/dev/zero', 0)], rows=5, counts=COUNTS, timing={})\nleave()",
    "publishes_a_file_of_proc": "send('published', [os.open('/proc/self/maps', 0)], rows=5, counts=COUNTS)\nleave()",
    "publishes_a_file_that_shrinks": """
        number = os.memfd_create('shrinks')
        os.write(number, published(large()))
        send('published', [number], rows=5, counts=COUNTS, timing={})
        os.ftruncate(number, 10)
        leave()""",
    "publishes_a_file_that_changes": """
        number = os.memfd_create('changes')
        os.write(number, published(large()))
        send('published', [number], rows=5, counts=COUNTS, timing={})
        os.pwrite(number, b'x' * 64, 0)
        leave()""",
    "publishes_rows_of_text": "publish(published(numbers), rows='5')\nleave()",
    "publishes_half_a_row": "publish(published(numbers), rows=1.5)\nleave()",
    "publishes_more_rows_than_there_are_numbers": "publish(published(numbers), rows=2**63)\nleave()",
    "publishes_counts_of_text": "publish(published(numbers), counts=dict.fromkeys(COUNTS, 'all'))\nleave()",
    "publishes_counts_below_zero": "publish(published(numbers), counts=dict.fromkeys(COUNTS, -(2**63)))\nleave()",
    "publishes_a_number_that_none_is": """
        number = os.memfd_create('result')
        raw(b'{"op":"published","rows":1e999}', [number])
        leave()""",
    "sends_a_number_of_many_digits": "raw(b'{\"op\":\"running\",\"x\":' + b'9' * 10_000 + b'}')\ntime.sleep(60)",
    "sends_a_text_that_is_none": 'raw(b\'{"op":"running","x":"\\xff"}\')\ntime.sleep(60)',
    "sends_ops_of_the_engine": "send('segments', ids=[1])\ntime.sleep(60)",
    "sends_ops_of_a_zygote": "send('exited', worker='w', status=0)\ntime.sleep(60)",
    "sends_an_op_that_is_a_number": "raw(b'{\"op\":7}')\ntime.sleep(60)",
    "sends_an_op_of_a_hundred_kilobytes": "send('x' * 100_000)\ntime.sleep(60)",
    "wants_of_decache_what_only_scans_may": """
        number = os.memfd_create('units')
        os.write(number, b'{"units":[]}')
        send('wants', [number])
        time.sleep(60)""",
    "wants_without_a_list": "send('wants')\ntime.sleep(60)",
    "wants_of_a_megabyte_and_one": """
        number = os.memfd_create('units')
        os.write(number, b' ' * (1 << 20) + b'{"units":[]}')
        send('wants', [number])
        time.sleep(60)""",
    "wants_deep_json": """
        number = os.memfd_create('units')
        os.write(number, b'{"units":' + b'[' * 500_000 + b']' * 500_000 + b'}')
        send('wants', [number])
        time.sleep(60)""",
    "gives_without_asking": """
        number = os.memfd_create('pieces')
        os.write(number, b'{"pieces":[]}')
        send('decoded', [number])
        time.sleep(60)""",
    "gives_fewer_tables_than_blocks": """
        number = os.memfd_create('pieces')
        os.write(number, b'{"pieces":[{"file":0,"read":"","columns":["a"],"groups":[[0,1]]}]}')
        send('decoded', [number])
        time.sleep(60)""",
    "publishes_half": "content = published(numbers)\npublish(content[: len(content) // 2])\nleave()",
    "names_an_unknown_segment": """
        content = published(numbers.append_column('c', pa.array(range(1000))))
        struct.pack_into('<Q', content, parts(content)[0], 999)
        publish(content)
        leave()""",
    "names_an_output_of_another": """
        content = published(numbers)
        for i in range(struct.unpack_from('<Q', content, 24)[0]):
            at = 64 + 16 * i
            if number := struct.unpack_from('<Q', content, at)[0]:
                struct.pack_into('<Q', content, at, number - 1 or 2)
        publish(content)
        leave()""",
    "names_bytes_beyond_its_segment": """
        content = published(numbers)
        struct.pack_into('<Q', content, 64 + 8, 1 << 60)
        struct.pack_into('<Q', content, first_reference(content) + 8, 1 << 50)
        publish(content)
        leave()""",
    "names_other_bytes_of_its_input": """
        content = published(numbers)
        at = first_reference(content)
        struct.pack_into('<Q', content, at + 8, 64)
        publish(content)
        leave()""",
    "lies_about_the_size_of_a_segment": """
        content = published(numbers)
        size, = struct.unpack_from('<Q', content, 64 + 8)
        struct.pack_into('<Q', content, 64 + 8, size + 4096)
        publish(content)
        leave()""",
    "lists_a_segment_twice": """
        content = published(numbers.append_column('c', pa.array(range(100_000))[:1000]))
        segments, _, references, offsets = struct.unpack_from('<QQQQ', content, 24)
        # All of its other parts move; the metadata stays aligned to 64 bytes.
        end = parts(content)[1] + 24 * references + 8 * offsets
        tables, metadata = content[80:end], content[end + (-end & 63):]
        struct.pack_into('<Q', content, 24, segments + 1)
        content = content[:80] + content[64:80] + tables
        content += bytes(-len(content) & 63) + metadata
        publish(content)
        leave()""",
    "changes_the_size_of_its_output": """
        content = published(numbers.append_column('c', pa.array(range(100_000))[:1000]))
        for number in os.listdir('/proc/self/fd'):
            try:
                os.ftruncate(int(number), 1 << 21)
            except OSError:
                pass
        publish(content)
        leave()""",
    "stops_itself": "os.kill(os.getpid(), signal.SIGKILL)\ntime.sleep(1)\nraise ValueError('still there')",
    "asks_for_two_rooms": "send('wants-room')\nsend('wants-room')\ntime.sleep(60)",
    "lengthens_its_room": """
        number, content = filled_room()
        os.ftruncate(number, 4 << 20)
        publish(content)
        leave()""",
    "shortens_its_room": """
        number, content = filled_room()
        os.ftruncate(number, 4096)
        struct.pack_into("<Q", content, 64 + 8, 4096)
        publish(content)
        leave()""",
    "makes_a_hole_of_its_room": """
        number, content = filled_room()
        os.ftruncate(number, 1 << 40)
        struct.pack_into("<Q", content, 64 + 8, 1 << 40)
        publish(content)
        leave()""",
}
# What the user is told. Where a model damages only its own means to speak, all that can be seen is that it left.
LEFT = "left with status 1"
BROKEN = "it sent a broken result"
WORDS = {
    "closes_its_socket": LEFT,
    "puts_another_file_in_its_place": LEFT,
    "shuts_its_socket_down": LEFT,
    "sends_an_empty_message": LEFT,
    "sends_garbage": "no JSON object",
    "sends_no_object": "no JSON object",
    "sends_a_deep_object": "no JSON object",
    "sends_a_long_message": "more than 131072 bytes",
    "sends_an_unknown_message": "unknown message 'launch'",
    "starts_twice": "said that it started",
    "runs_twice": "said that it runs",
    "sends_text": "text in place of a table",
    "sends_many_descriptors": "too many descriptors",
    "sends_descriptors_with_no_result": BROKEN,
    "sends_a_result_with_two_descriptors": BROKEN,
    "sends_negative_rows": BROKEN,
    "sends_no_counts": BROKEN,
    "publishes_a_folder": BROKEN,
    "publishes_a_huge_hole": BROKEN,
    "publishes_a_hole_that_is_allowed": "holes",
    "publishes_a_device": "no memory file",
    "publishes_a_file_of_proc": "no memory file",
    "publishes_a_file_that_shrinks": "its result was rejected",
    "publishes_a_file_that_changes": "bad SIPC descriptor",
    "publishes_rows_of_text": BROKEN,
    "publishes_half_a_row": BROKEN,
    "publishes_more_rows_than_there_are_numbers": BROKEN,
    "publishes_counts_of_text": BROKEN,
    "publishes_counts_below_zero": BROKEN,
    "publishes_a_number_that_none_is": "no JSON object",
    "sends_a_number_of_many_digits": "no JSON object",
    "sends_a_text_that_is_none": "no JSON object",
    "sends_ops_of_the_engine": "unknown message 'segments'",
    "sends_ops_of_a_zygote": "unknown message 'exited'",
    "sends_an_op_that_is_a_number": "no JSON object",
    "sends_an_op_of_a_hundred_kilobytes": "unknown message 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'",
    "wants_of_decache_what_only_scans_may": "it asked for what it can't have",
    "wants_without_a_list": "without its one file",
    "wants_of_a_megabyte_and_one": "1048576 are allowed",
    "wants_deep_json": "nests too deep",
    "gives_without_asking": "it gave what nobody asked for",
    "gives_fewer_tables_than_blocks": "1 blocks and 0 tables",
    "publishes_nothing": "bad SIPC descriptor",
    "publishes_noise": "bad SIPC descriptor",
    "publishes_a_pipe": "no memory file",
    "publishes_its_socket": "no memory file",
    "publishes_half": "bad SIPC descriptor",
    "names_an_unknown_segment": "never given",
    "names_an_output_of_another": "never given",
    "names_bytes_beyond_its_segment": "with a size of",
    "names_other_bytes_of_its_input": "no table lent to the worker names",
    "lies_about_the_size_of_a_segment": "with a size of",
    "lists_a_segment_twice": "lists a segment twice",
    "changes_the_size_of_its_output": "changed the size of its output",
    "stops_itself": "still there",
    "asks_for_two_rooms": "asked for a file",
    "lengthens_its_room": "with a size of",
    "shortens_its_room": "bad SIPC descriptor",
    "makes_a_hole_of_its_room": "changed the file on the disk",
}
# These are no attacks on their own; whether the model succeeds is up to it. The engine must not care.
ODDITIES = {
    "publishes_twice": "content = published(numbers)\npublish(content)\npublish(content)\nleave()",
    "fails_after_its_result": "publish(published(numbers))\nsend('failed', error={})\nleave()",
    "changes_a_small_result": """
        number = os.memfd_create('changes')
        os.write(number, published(numbers))
        send('published', [number], rows=5, counts=COUNTS, timing={})
        os.pwrite(number, b'x' * 64, 0)
        os.ftruncate(number, 10)
        leave()""",
    "lies_about_its_figures": """
        content = published(numbers)
        counts = dict.fromkeys(COUNTS, 2**63 - 1)
        publish(content, rows=2**62, counts=counts, timing={"open_ms": 1e308, "fork_at_ms": -1e300, "x": [1]})
        leave()""",
    "seals_its_descriptor_itself": """
        number = os.memfd_create('sealed', os.MFD_ALLOW_SEALING)
        os.write(number, published(numbers))
        import fcntl
        fcntl.fcntl(number, fcntl.F_ADD_SEALS, 15)
        send('published', [number], rows=5, counts=COUNTS, timing={})
        leave()""",
    "keeps_its_descriptor_mapped": """
        import mmap
        content = published(numbers)
        number = os.memfd_create('mapped', os.MFD_ALLOW_SEALING)
        os.write(number, content)
        kept = mmap.mmap(number, len(content))
        send('published', [number], rows=5, counts=COUNTS, timing={})
        leave()""",
    "floods_after_its_result": """
        publish(published(numbers))
        for _ in range(100_000):
            send('running')
        leave()""",
    "prints_without_end": """
        for _ in range(200_000):
            os.write(1, b'\\x1b[2J no line end ' * 10)
        return numbers""",
    "leaves_children": """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for _ in range(5):
            subprocess.Popen(['sleep', '4321'], start_new_session=True)
        threading.Thread(target=time.sleep, args=(1000,)).start()
        return numbers""",
}


def source_of(name: str, body: str) -> str:
    lines = body.strip("\n").splitlines()
    margin = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
    indented = "\n".join("        " + line[margin:] for line in lines)
    return f'    @zerrow.model()\n    def {name}(numbers=zerrow.Model("numbers", columns=["a", "b"])):\n{indented}\n'


@pytest.mark.parametrize("group", ["attacks", "oddities"])
def test_hostile_models_fail_alone(any_project: Project, group: str):
    models = ATTACKS if group == "attacks" else ODDITIES
    any_project.write("models.py", PRELUDE + "\n".join(source_of(name, body) for name, body in models.items()))
    result = any_project.run("--keep-going", timeout=600)
    assert result.report, result.err[-4000:]
    assert result.model("good")["status"] == "success", result.err
    assert result.model("good")["output"]["rows"] == 1000
    if group == "attacks":
        assert result.code == 1
        told = {failure["model"]: failure["message"] for failure in result.report["errors"]}
        for name in models:
            assert result.model(name)["status"] == "failed", (name, result.model(name))
            assert WORDS[name] in told[name], (name, told[name])
    for model in result.report["models"]:
        assert model["status"] in ("success", "failed"), model
    assert result.report["memory"]["segments_bytes_end"] == 0


def test_a_hostile_reader_of_one_column_cannot_publish_another(any_project: Project):
    """The segment it was given holds both; it may name only what its table names."""
    any_project.write(
        "models.py",
        PRELUDE
        + """
    @zerrow.model()
    def wide(numbers=zerrow.Model("numbers")):
        return {"open": list(range(100_000)), "closed": list(range(100_000))}

    @zerrow.model()
    def narrow(wide=zerrow.Model("wide")):
        return wide.select(["open"])

    @zerrow.model()
    def holder(wide=zerrow.Model("wide"), thief=zerrow.Model("good")):
        return wide

    @zerrow.model()
    def thief(narrow=zerrow.Model("narrow")):
        content = published(narrow)
        at = first_reference(content)
        offset, length = struct.unpack_from("<QQ", content, at + 8)
        struct.pack_into("<Q", content, at + 8, offset - length if offset >= length else offset + length)
        publish(content)
        leave()
    """,
    )
    result = any_project.run("--keep-going")
    assert result.model("thief")["status"] == "failed"
    text = next(failure["message"] for failure in result.report["errors"] if failure["model"] == "thief")
    assert "no table lent" in text, text
    assert result.model("holder")["status"] == "success"


def test_what_descriptors_take_is_bounded_by_the_runs_memory(project: Project):
    """Files of a gigabyte cost their sender nothing as long as nobody wrote to them; the engine must not read them."""
    attack = """
        number = os.memfd_create("d")
        os.ftruncate(number, 1 << 30)
        send("published", [number], rows=1, counts=COUNTS, timing={})
        leave()"""
    written = """
        number = os.memfd_create("d")
        for at in range(0, 40 << 20, 1 << 20):
            os.pwrite(number, b"x" * (1 << 20), at)
        send("published", [number], rows=1, counts=COUNTS, timing={})
        leave()"""
    models = {"one": attack, "two": attack, "three": written}
    project.write("models.py", PRELUDE + "\n".join(source_of(name, body) for name, body in models.items()))
    command = project.command("--keep-going", "--no-serve", "--memory", "256MiB", "--output", "json")
    with subprocess.Popen(
        [str(BINARY), *command[1:]],
        env={**project.environment(), "ZERROW_HOME": str(HOME)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as engine:
        peak = 0
        while engine.poll() is None:
            with contextlib.suppress(OSError, StopIteration), open(f"/proc/{engine.pid}/status") as file:
                peak = max(peak, next(int(line.split()[1]) for line in file if line.startswith("VmHWM")))
            time.sleep(0.02)
        report = json.load(engine.stdout)
    told = {failure["model"]: failure["message"] for failure in report["errors"]}
    assert "are allowed" in told["one"] and "are allowed" in told["two"], told
    assert "are allowed" in told["three"], told
    assert peak < 128 << 10, f"the engine itself held {peak} KiB"


def test_a_table_of_very_many_batches_is_a_table_like_others(project: Project):
    project.write(
        "models.py",
        """
    import pyarrow as pa
    import zerrow

    @zerrow.model()
    def many(numbers=zerrow.Model("numbers")):
        one = pa.record_batch({"n": pa.array([7], pa.int64())})
        return pa.Table.from_batches([one] * 100_000)

    @zerrow.model()
    def total(many=zerrow.Model("many")):
        return {"n": [sum(chunk[0].as_py() for chunk in many["n"].chunks[:10])], "rows": [many.num_rows]}
    """,
    )
    result = project.run(timeout=600)
    assert result.code == 0, result.err
    assert result.model("many")["output"]["rows"] == 100_000
    assert result.report["memory"]["segments_bytes_end"] == 0


def on_a_terminal(command: list[str], environment: dict[str, str]) -> str:
    """What a command shows on a terminal of its own."""
    leader, follower = pty.openpty()
    with subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower, env=environment) as process:
        os.close(follower)
        shown = b""
        with contextlib.suppress(OSError):  # EIO: nobody has the terminal any more
            while chunk := os.read(leader, 65536):
                shown += chunk
        process.wait(timeout=60)
    os.close(leader)
    return shown.decode()


def test_a_model_may_colour_its_lines_but_not_drive_the_terminal(any_project: Project):
    """Nor may the message of its exception, or what is in its table."""
    any_project.write(
        "models.py",
        r"""
        import zerrow

        @zerrow.model()
        def coloured(numbers=zerrow.Model("numbers")):
            print("\x1b[31mred\x1b[0m, \x1b[2Jcleared, \x1b]0;title\x07named")
            return {"cell\x1b[2J": ["\x1b[2J\x1b[5;5Hmoved"]}

        @zerrow.model()
        def broken(numbers=zerrow.Model("numbers")):
            raise ValueError("\x1b[2Jswept \x1b]0;title\x07away")
        """,
    )
    environment = any_project.environment({"TERM": "xterm-256color"})
    environment.pop("NO_COLOR", None)
    shown = on_a_terminal(any_project.command("--keep-going"), environment)
    for words in ("\x1b[31mred", "cleared, named", "moved", "swept away"):
        assert words in shown, shown
    for forbidden in ("\x1b[2J", "\x1b]0;", "\x1b[5;5H"):
        assert forbidden not in shown, shown
