"""`libzerrow_worker.so` through ctypes: the SIPC session of one worker, and what isolates a process.

The library's integers are 0 or a negative errno. Struct layouts are those of Sources/WorkerABI and
Sources/CLinux/include.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import pyarrow as pa

from zerrow.errors import ZerrowError
from zerrow.worker.extension_types import register_types
from zerrow.worker.ops import COUNTS, PAGE_COUNTS
from zerrow.worker.unknown_types import unknown_type

ABI_VERSION = 2


class LibraryError(ZerrowError):
    """The worker library is missing, of another version, or refused a call; `errno` says how, or is None."""

    def __init__(self, message: str, errno: int | None = None) -> None:
        super().__init__(message, code="worker-library")
        self.errno = errno


class _Stream(ctypes.Structure):
    """An ArrowArrayStream of the C stream interface; only its size and `release` matter here."""

    _fields_ = (
        ("get_schema", ctypes.c_void_p),
        ("get_next", ctypes.c_void_p),
        ("get_last_error", ctypes.c_void_p),
        ("release", ctypes.c_void_p),
        ("private_data", ctypes.c_void_p),
    )


_HELD = ("zerrow_fork_worker", "zerrow_warm_memory_fill", "zerrow_warm_memory_join")
"""Functions that are called with the interpreter held: a fork copies it as it is, and its allocator asks for that."""

_COUNTS = ("rows", "batches", "bytes", *COUNTS)


class _Counts(ctypes.Structure):
    """A zerrow_counts."""

    _fields_ = tuple((name, ctypes.c_uint64) for name in _COUNTS)


@dataclass(frozen=True)
class Published:
    """How a table was published: each of its bytes is in exactly one of the five last counts. All in bytes."""

    rows: int
    batches: int
    bytes: int
    reshared_bytes: int
    born_shared_bytes: int
    deanonymized_bytes: int
    packed_bytes: int
    copied_bytes: int

    def counts(self) -> dict[str, int]:
        """The `counts` of the protocol's message `published`."""
        every = asdict(self)
        return {name: every[name] for name in COUNTS}


class _Pages(ctypes.Structure):
    """A zerrow_pages."""

    _fields_ = tuple((name, ctypes.c_uint64) for name in PAGE_COUNTS)


class _RebuiltFolder(ctypes.Structure):
    """A zerrow_rebuilt_folder."""

    _fields_ = (("path", ctypes.c_char_p), ("shown", ctypes.POINTER(ctypes.c_char_p)))


class _WorkerSpec(ctypes.Structure):
    """A zerrow_worker_spec."""

    _fields_ = (
        ("uid", ctypes.c_uint32),
        ("has_network", ctypes.c_uint32),
        ("tmp_bytes_max", ctypes.c_uint64),
        ("tmp_entries", ctypes.POINTER(ctypes.c_char_p)),
        ("rebuilt", ctypes.POINTER(_RebuiltFolder)),
        ("covered", ctypes.POINTER(ctypes.c_char_p)),
        ("overlaid", ctypes.POINTER(ctypes.c_char_p)),
        ("scratch", ctypes.c_int32),
    )


@dataclass(frozen=True)
class View:
    """What a worker sees of what its zygote sees; all are absolute paths.

    `tmp` lies below /tmp and stays visible there. `rebuilt` has folders which are emptied, each with what stays visible
    in it, and comes before those in it. `covered` can't be seen, be it a file or a folder. `overlaid` has folders that
    are shown through a file system of the worker's own.
    """

    tmp: tuple[str, ...] = ()
    rebuilt: tuple[tuple[str, tuple[str, ...]], ...] = ()
    covered: tuple[str, ...] = ()
    overlaid: tuple[str, ...] = ()

    def hides(self, path: str) -> bool:
        """Whether an absolute path is one of those that can't be seen, or lies in one."""
        if any(path == each or path.startswith(f"{each}/") for each in self.covered):
            return True
        for folder, shown in reversed(self.rebuilt):
            if path.startswith(f"{folder}/"):
                return not any(path == each or path.startswith(f"{each}/") for each in shown)
        return False


def _texts(paths: Sequence[str]) -> ctypes.Array[ctypes.c_char_p]:
    """A list of C strings, closed by NULL."""
    return (ctypes.c_char_p * (len(paths) + 1))(*map(os.fsencode, paths), None)


class Isolation:
    """What a worker that sees `view` is isolated by, as the library reads it; made once for many workers."""

    def __init__(self, view: View) -> None:
        self.view = view
        environment = os.environ
        folders = [_RebuiltFolder(os.fsencode(folder), _texts(shown)) for folder, shown in view.rebuilt]
        self.spec = _WorkerSpec(
            0,
            int(environment.get("ZERROW_NETWORK", "0")),
            int(environment["ZERROW_TMP_BYTES_MAX"]),
            _texts(view.tmp),
            (_RebuiltFolder * (len(folders) + 1))(*folders),
            _texts(view.covered),
            _texts(view.overlaid),
            0,
        )

    def of(self, uid: int | None, scratch: int | None = None) -> Isolation:
        """The same for another worker, as that user, or the zygote's own for None; it has the mount `scratch`."""
        self.spec.uid, self.spec.scratch = uid or 0, scratch or 0
        return self


class _Layout(ctypes.Structure):
    """A zerrow_layout: a struct of the library's, or a field of one."""

    _fields_ = (
        ("type", ctypes.c_char_p),
        ("field", ctypes.c_char_p),
        ("offset", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
    )


_STRUCTS = {
    "zerrow_counts": _Counts,
    "zerrow_pages": _Pages,
    "zerrow_rebuilt_folder": _RebuiltFolder,
    "zerrow_worker_spec": _WorkerSpec,
}


def _own_layout() -> dict[tuple[str, str], tuple[int, int]]:
    """Offset and size of each struct that is declared here, and of its fields."""
    layout = {}
    for name, struct in _STRUCTS.items():
        layout[name, ""] = (0, ctypes.sizeof(struct))
        for field, _ in struct._fields_:
            place = getattr(struct, field)
            layout[name, field] = (place.offset, place.size)
    return layout


class WorkerLibrary:
    """The loaded library. One per process."""

    def __init__(self, path: str) -> None:
        """Load it from `path`; raises LibraryError."""
        try:
            self._library = ctypes.CDLL(path)
            self._held = ctypes.PyDLL(path)
        except OSError as error:
            raise LibraryError(f"the worker library {path} does not load: {error}") from error
        functions = (
            ("zerrow_abi_version", ctypes.c_uint32, ()),
            ("zerrow_abi_layout", ctypes.POINTER(_Layout), ()),
            ("zerrow_session_new", ctypes.c_void_p, ()),
            ("zerrow_session_free", None, (ctypes.c_void_p,)),
            ("zerrow_session_error", ctypes.c_char_p, (ctypes.c_void_p,)),
            ("zerrow_session_segment", ctypes.c_int, (ctypes.c_void_p, ctypes.c_uint64, ctypes.c_int)),
            (
                "zerrow_session_output",
                ctypes.c_int,
                (ctypes.c_void_p, ctypes.c_int, ctypes.c_uint64, ctypes.c_uint64),
            ),
            ("zerrow_session_kernelzero", ctypes.c_int, (ctypes.c_void_p, ctypes.c_int)),
            ("zerrow_session_pages", ctypes.c_int, (ctypes.c_void_p, ctypes.POINTER(_Pages))),
            (
                "zerrow_session_refresh",
                ctypes.c_int,
                (ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(ctypes.c_int)),
            ),
            ("zerrow_session_open", ctypes.c_int, (ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)),
            (
                "zerrow_session_publish",
                ctypes.c_int,
                (ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(_Counts), ctypes.POINTER(ctypes.c_int)),
            ),
            (
                "zerrow_session_publish_to_disk",
                ctypes.c_int,
                (
                    *(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_uint64),
                    *(ctypes.POINTER(_Counts), ctypes.POINTER(ctypes.c_int)),
                ),
            ),
        )
        functions += (
            ("zerrow_warm_memory_gather", None, ()),
            ("zerrow_warm_memory_fill", None, ()),
            ("zerrow_warm_memory_join", ctypes.c_int, (ctypes.c_int,)),
            (
                "zerrow_fork_worker",
                ctypes.c_int,
                (ctypes.POINTER(_WorkerSpec), ctypes.c_int, ctypes.c_int, ctypes.POINTER(ctypes.c_int)),
            ),
            ("zerrow_worker_place_descriptors", ctypes.c_int, (ctypes.c_int, ctypes.c_int)),
            ("zerrow_fork_prepare", ctypes.c_int, ()),
            ("zerrow_fork_restore", ctypes.c_int, ()),
            ("zerrow_worker_enter", ctypes.c_int, (ctypes.POINTER(_WorkerSpec),)),
            ("zerrow_worker_stage", ctypes.c_char_p, ()),
            ("zerrow_worker_guard", ctypes.c_int, (ctypes.c_void_p, ctypes.c_size_t)),
            ("zerrow_worker_last_words", ctypes.c_int, (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t)),
        )
        for name, result, arguments in functions:
            try:
                function = getattr(self._library, name)
            except AttributeError:
                raise LibraryError(f"{path} has no function {name}: it is not the library of this zerrow") from None
            function.restype, function.argtypes = result, list(arguments)
            if name in _HELD:
                function = getattr(self._held, name)
                function.restype, function.argtypes = result, list(arguments)
        version = self._library.zerrow_abi_version()
        if version != ABI_VERSION:
            raise LibraryError(f"{path} speaks worker ABI {version}, this package {ABI_VERSION}: rebuild both")
        self._check_layout(path)

    def _check_layout(self, path: str) -> None:
        """Compare the structs that are declared here with the library's. Raises LibraryError."""
        theirs = {}
        for entry in self._library.zerrow_abi_layout():
            if entry.type is None:
                break
            theirs[entry.type.decode(), entry.field.decode()] = (entry.offset, entry.size)
        ours = _own_layout()
        for struct, field in sorted(theirs.keys() | ours.keys()):
            if theirs.get((struct, field)) != ours.get((struct, field)):
                raise LibraryError(f"{path} has another layout of {struct} {field}: rebuild it with this package")

    def fork(self, isolation: Isolation | None, channel: int, output: int) -> tuple[int, int]:
        """Fork a worker from this process, which has one thread: its pid and a pidfd of it.

        In the worker: 0, and what `check` is to be asked about. The worker is isolated, and has no descriptors but the
        usual three and the `channel`; without an isolation it leads a process group. Handlers that were registered with
        os.register_at_fork don't run. Raises OSError, but not in the worker.
        """
        pidfd = ctypes.c_int(0)
        spec = isolation.spec if isolation is not None else None
        pid: int = self._held.zerrow_fork_worker(spec, channel, output, ctypes.byref(pidfd))
        self.check(min(pid, 0))
        return pid, pidfd.value

    def place_descriptors(self, channel: int, output: int) -> None:
        """Leave exactly these open: 0 reads nothing, 1 and 2 are `output`, 3 is `channel`. Raises OSError."""
        self.check(self._library.zerrow_worker_place_descriptors(channel, output))

    def fill_memory(self) -> None:
        """Take what is free between the objects that there are, once all is imported."""
        self._held.zerrow_warm_memory_fill()

    def join_memory(self, most: int) -> int:
        """Make up to so many huge pages of memory that is in use, so that forks copy less; the number that was made."""
        made: int = self._held.zerrow_warm_memory_join(most)
        return made

    def fork_prepare(self) -> None:
        """The next fork makes the first process of a pid namespace. Raises OSError."""
        self.check(self._library.zerrow_fork_prepare())

    def fork_restore(self) -> None:
        """Later forks stay in this process's pid namespace. Raises OSError."""
        self.check(self._library.zerrow_fork_restore())

    def enter(self, uid: int | None, view: View) -> None:
        """Isolate this process, for good; it sees `view`. As user `uid`, or the zygote's own for None.

        Raises OSError.
        """
        self.check(self._library.zerrow_worker_enter(Isolation(view).of(uid).spec))

    def guard(self, mapping: pa.Buffer) -> None:
        """Have a mapped file that is made shorter read as zeros, instead of ending this process. Raises OSError.

        The mapping must stay as long as the process.
        """
        code = self._library.zerrow_worker_guard(mapping.address, mapping.size)
        if code:
            raise OSError(-code, f"guarding a mapped file: {os.strerror(-code)}")

    def last_words(self, socket: int, message: bytes) -> None:
        """Have a message sent first if a library ends this process from now on; none if the message is empty.

        Raises OSError.
        """
        code = self._library.zerrow_worker_last_words(socket, message, len(message))
        if code:
            raise OSError(-code, f"preparing a last message: {os.strerror(-code)}")

    def check(self, code: int) -> None:
        """Raise OSError for what isn't 0, a negative errno of one of the functions that isolate."""
        if code:
            raise OSError(-code, f"{self._library.zerrow_worker_stage().decode()}: {os.strerror(-code)}")

    def session(self) -> Session:
        """A new session: segments, inputs and the result of one worker."""
        return Session(self._library)


class Session:
    """The SIPC state of one worker, or of a script. Tables that it opened keep the mappings that they point into."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._handle = library.zerrow_session_new()
        if not self._handle:
            raise LibraryError("the worker library could not start a session: out of memory")

    def close(self) -> None:
        """End the session. Tables that it opened keep their memory."""
        handle, self._handle = self._handle, None
        if handle:
            self._library.zerrow_session_free(handle)

    def segment(self, identifier: int, descriptor: int) -> None:
        """Make a segment known; the session takes `descriptor`."""
        self._check(self._library.zerrow_session_segment(self._handle, identifier, descriptor), f"segment {identifier}")

    def output(self, descriptor: int, file_bytes: int, bytes_max: int) -> None:
        """Take `descriptor` as the worker's output segment, and as its arena where the preload library is there."""
        code = self._library.zerrow_session_output(self._handle, descriptor, file_bytes, bytes_max)
        self._check(code, "the output segment")

    def kernelzero(self, descriptor: int) -> None:
        """Have memory moved rather than copied by the device `descriptor`, which the session takes."""
        self._check(self._library.zerrow_session_kernelzero(self._handle, descriptor), "KernelZero")

    def pages(self) -> dict[str, int]:
        """How the pages of all moved memory went; `refusal` is an errno or 0."""
        pages = _Pages()
        self._check(self._library.zerrow_session_pages(self._handle, ctypes.byref(pages)), "the moved pages")
        return {name: getattr(pages, name) for name in PAGE_COUNTS}

    def open(self, descriptor: int, registers_types: bool = False, name: str = "input") -> pa.Table:
        """Open the table whose SIPC descriptor is in the file `descriptor`; its columns point into the segments.

        With `registers_types`, a library that knows an extension type of the table is imported for it. The caller keeps
        `descriptor`. Raises WorkerFailure, with the table's `name`, for a type that is newer than this pyarrow.
        """
        stream = self._stream(descriptor)
        try:
            reader = pa.RecordBatchReader._import_from_c(ctypes.addressof(stream))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowKeyError) as error:
            # What was refused is gone, so it is asked for again.
            stream = self._stream(descriptor)
            failure = unknown_type(ctypes.addressof(stream), stream.get_schema, name)
            if failure is None:
                raise
            raise failure from error
        if registers_types and register_types(reader.schema):
            # An import looks at what is registered: this one again, buffers where they are.
            reader = pa.RecordBatchReader.from_stream(reader)
        return reader.read_all()

    def _stream(self, descriptor: int) -> _Stream:
        stream = _Stream()
        self._check(self._library.zerrow_session_open(self._handle, descriptor, ctypes.byref(stream)), "an input")
        return stream

    def publish(self, reader: pa.RecordBatchReader) -> tuple[Published, int]:
        """Publish what `reader` yields: the counts, and the file with the SIPC descriptor, which the caller owns."""
        stream, counts, descriptor = _Stream(), _Counts(), ctypes.c_int(-1)
        reader._export_to_c(ctypes.addressof(stream))
        code = self._library.zerrow_session_publish(
            self._handle, ctypes.byref(stream), ctypes.byref(counts), ctypes.byref(descriptor)
        )
        self._check(code, "the result")
        return Published(*(getattr(counts, name) for name in _COUNTS)), descriptor.value

    def publish_to_disk(self, reader: pa.RecordBatchReader, disk: int, identifier: int) -> tuple[Published, int]:
        """Publish what `reader` yields batch by batch into the file `disk`, which readers know as that segment.

        The caller keeps `disk`; the rest as `publish`.
        """
        stream, counts, descriptor = _Stream(), _Counts(), ctypes.c_int(-1)
        reader._export_to_c(ctypes.addressof(stream))
        code = self._library.zerrow_session_publish_to_disk(
            self._handle, ctypes.byref(stream), disk, identifier, ctypes.byref(counts), ctypes.byref(descriptor)
        )
        self._check(code, "the result")
        return Published(*(getattr(counts, name) for name in _COUNTS)), descriptor.value

    def refresh(self, descriptor: int) -> int:
        """The SIPC descriptor of a table that this session published, with the present size of its output segment.

        Publishing more may have made that longer. Takes `descriptor`; the caller owns what is returned.
        """
        fresh = ctypes.c_int(-1)
        code = self._library.zerrow_session_refresh(self._handle, descriptor, ctypes.byref(fresh))
        os.close(descriptor)
        self._check(code, "a published table")
        return fresh.value

    def _check(self, code: int, what: str) -> None:
        if code == 0:
            return
        said = (self._library.zerrow_session_error(self._handle) or b"").decode(errors="replace")
        raise LibraryError(f"{what}: {said or os.strerror(-code)}", -code)
