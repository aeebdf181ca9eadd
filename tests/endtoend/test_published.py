"""A published table can't be changed by anybody, and nobody finds a byte of its producer that was not published."""

from command import Project

ATTACKS = """
    import ctypes, ctypes.util, fcntl, hashlib, mmap, os, re, signal, struct, time
    import numpy as np
    import pyarrow as pa
    import zerrow

    ROWS = 1_000_000
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    # Built where it is needed, so that no source or constant holds it.
    def needle(kind):
        return bytes(byte ^ 0x55 for byte in (kind * 4).encode()) * 2

    def digest(column):
        return hashlib.sha256(b"".join(memoryview(chunk.buffers()[1]) for chunk in column.chunks)).hexdigest()

    def memory_files():
        for number in os.listdir("/proc/self/fd"):
            try:
                if os.readlink(f"/proc/self/fd/{number}").startswith("/memfd:"):
                    yield int(number)
            except OSError:
                pass

    def mapped_files():
        for line in open("/proc/self/maps"):
            words = line.split()
            if len(words) > 5 and words[5].startswith("/memfd:"):
                start, end = (int(word, 16) for word in words[0].split("-"))
                yield start, end, words[1]

    def place_in_file(address):
        for line in open("/proc/self/maps"):
            words = line.split()
            start, end = (int(word, 16) for word in words[0].split("-"))
            if start <= address < end and len(words) > 5 and words[5].startswith("/memfd:"):
                return address - start + int(words[2], 16)
        raise AssertionError("this memory is in no file")

    @zerrow.model()
    def producer(numbers=zerrow.Model("numbers")):
        secret = np.frombuffer(needle("hidden") * 20_000, np.uint8)
        kept = [secret.copy() for _ in range(5)]
        freed = [secret.copy() for _ in range(5)]
        # One column lies between secrets of the same allocation.
        surrounded = np.resize(secret, 3 * ROWS)
        surrounded[ROWS : 2 * ROWS] = np.resize(np.frombuffer(needle("public"), np.uint8), ROWS)
        values = np.arange(ROWS, dtype=np.int64)
        where = np.full(ROWS, -1, np.int64)
        for index, array in enumerate([*kept, *freed, surrounded]):
            where[2 * index : 2 * index + 2] = place_in_file(array.ctypes.data), array.nbytes
        del freed
        address, others = values.ctypes.data, []
        offset = place_in_file(address)
        for number in memory_files():
            # A mapping that the arena knows nothing of, which a child keeps.
            place = libc.mmap(None, ctypes.c_size_t(4096), 3, 1, number, ctypes.c_long(offset & ~4095))
            if place not in (None, 2**64 - 1):
                others.append(place)
        print("writable mappings of its own:", len(others))
        if os.fork() == 0:
            os.setsid()
            if os.fork() > 0:
                os._exit(0)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(0.1)
            while True:
                for place in [address, *others]:
                    ctypes.memset(place + 2048, 0xEE, 64)
                time.sleep(0.001)
        os.wait()
        return pa.table({
            "values": values,
            "where": where,
            "bytes": pa.Array.from_buffers(pa.uint8(), ROWS, [None, pa.py_buffer(surrounded).slice(ROWS, ROWS)]),
        })

    def scan(kind, table):
        # All that lies where the producer had secrets, and around what it published.
        wanted, found = needle(kind), 0
        buffers = [chunk.buffers()[1] for column in table.columns for chunk in column.chunks]
        where = [int(value) for value in table["where"].to_numpy() if value >= 0]
        places = list(zip(where[::2], where[1::2], strict=True))
        places += [(place_in_file(buffer.address), buffer.size) for buffer in buffers]
        with open("/proc/self/mem", "rb", 0) as memory:
            for start, end, first in {mapping_of(buffer.address) for buffer in buffers}:
                for place, count in places:
                    lower = max(start, start + place - first - (1 << 20))
                    upper = min(end, start + place - first + count + (1 << 20))
                    memory.seek(lower)
                    chunk = memory.read(upper - lower)
                    assert len(chunk) == upper - lower
                    found += chunk.count(wanted)
        return found

    def mapping_of(address):
        for line in open("/proc/self/maps"):
            words = line.split()
            start, end = (int(word, 16) for word in words[0].split("-"))
            if start <= address < end:
                return start, end, int(words[2], 16)

    @zerrow.model()
    def reader(producer=zerrow.Model("producer")):
        before = digest(producer["values"])
        buffer = producer["values"].chunk(0).buffers()[1]
        address, size = buffer.address & ~4095, 4096 * 16
        outcome = {}

        def record(name, code):
            outcome[name] = "refused" if code < 0 else "allowed"

        child = os.fork()
        if child == 0:
            ctypes.memset(address, 0, size)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        outcome["write"] = "refused" if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGSEGV else "allowed"
        place, count = ctypes.c_void_p(address), ctypes.c_size_t(size)
        record("mprotect", libc.mprotect(place, count, 3))
        record("MADV_REMOVE", libc.madvise(place, count, 9))
        record("MADV_POPULATE_WRITE", libc.madvise(place, count, 23))
        try:
            with open("/proc/self/mem", "r+b", 0) as memory:
                memory.seek(address)
                memory.write(bytes(size))
            outcome["/proc/self/mem"] = "allowed"
        except OSError:
            outcome["/proc/self/mem"] = "refused"
        zeros = ctypes.create_string_buffer(size)
        local = (ctypes.c_void_p * 2)(ctypes.addressof(zeros), size)
        remote = (ctypes.c_void_p * 2)(address, size)
        record("process_vm_writev", libc.process_vm_writev(os.getpid(), local, 1, remote, 1, 0))
        record("ptrace", libc.ptrace(16, os.getppid(), None, None))
        files = 0
        for start, end, rights in mapped_files():
            if not start <= buffer.address < end:
                continue
            try:
                number = os.open(f"/proc/self/map_files/{start:x}-{end:x}", os.O_RDWR)
                outcome["map_files"] = "allowed"
            except OSError:
                outcome["map_files"] = "refused"
        for number in memory_files():
            if fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY:
                continue
            files += 1
            for name, call in (
                ("reopen", lambda: os.open(f"/proc/self/fd/{number}", os.O_RDWR)),
                ("truncate", lambda: os.ftruncate(number, 4096)),
                ("truncate by path", lambda: os.truncate(f"/proc/self/fd/{number}", 4096)),
                ("chmod", lambda: os.fchmod(number, 0o666)),
                ("add seals", lambda: fcntl.fcntl(number, 1033, 2)),
                ("map for writing", lambda: mmap.mmap(number, 4096, mmap.MAP_SHARED, mmap.PROT_WRITE | mmap.PROT_READ)),
            ):
                try:
                    call()
                    outcome[name] = "allowed"
                except OSError:
                    outcome[name] = "refused"
            record("punch a hole", libc.fallocate(number, 3, ctypes.c_long(0), ctypes.c_long(4096)))
        print("read-only files:", files)
        time.sleep(0.3)
        assert digest(producer["values"]) == before, "the table changed under its reader"
        for name, what in outcome.items():
            print(f"{name}: {what}")
        print("published bytes found:", scan("public", producer) > 0)
        print("hidden bytes found:", scan("hidden", producer) > 0)
        return {"digest": [before]}

    @zerrow.model()
    def witness(producer=zerrow.Model("producer"), reader=zerrow.Model("reader")):
        values = producer["values"].to_numpy()
        # The producer's child wrote while its worker lived, to these bytes: they are part of what was published.
        changed = np.flatnonzero(values != np.arange(ROWS))
        assert len(changed) <= 64, "the table was changed elsewhere"
        assert digest(producer["values"]) == reader["digest"][0].as_py()
        public = np.resize(np.frombuffer(needle("public"), np.uint8), ROWS)
        assert (producer["bytes"].to_numpy() == public).all()
        print("hidden bytes found:", scan("hidden", producer) > 0)
        return {"rows": [len(values)]}
"""


def test_no_reader_changes_a_table_or_finds_what_was_not_published(any_project: Project):
    any_project.write("models.py", ATTACKS)
    result = any_project.run("--jobs", "1")
    assert result.code == 0, result.err
    said = [line.strip() for line in result.err.splitlines()]

    def heard(text: str) -> bool:
        return any(text in line for line in said)

    for name in ("write", "mprotect", "MADV_REMOVE", "MADV_POPULATE_WRITE", "process_vm_writev", "ptrace", "map_files"):
        assert heard(f"{name}: refused"), (name, result.err)
    assert not heard(": allowed"), result.err
    assert heard("published bytes found: True"), result.err
    assert heard("hidden bytes found: False"), result.err
    assert not heard("hidden bytes found: True"), result.err
    assert result.model("producer")["output"]["born_shared_bytes"] >= 8_000_000
