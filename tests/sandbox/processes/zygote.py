"""A small zygote: it forks workers, isolates each with the C functions of the sandbox, and runs the code it is sent.

argv[1] is the library. Descriptor 3 is a SOCK_SEQPACKET socket: a request is JSON with descriptors beside it, the
first of which is the pipe for the worker's result; the others become the worker's descriptors 3, 4, …
"""

import ctypes
import json
import os
import signal
import socket
import sys
import traceback


class RebuiltFolder(ctypes.Structure):
    """A zerrow_rebuilt_folder."""

    _fields_ = (("path", ctypes.c_char_p), ("shown", ctypes.POINTER(ctypes.c_char_p)))


class WorkerSpec(ctypes.Structure):
    """A zerrow_worker_spec."""

    _fields_ = (
        ("uid", ctypes.c_uint32),
        ("has_network", ctypes.c_uint32),
        ("tmp_bytes_max", ctypes.c_uint64),
        ("tmp_entries", ctypes.POINTER(ctypes.c_char_p)),
        ("rebuilt", ctypes.POINTER(RebuiltFolder)),
        ("covered", ctypes.POINTER(ctypes.c_char_p)),
        ("overlaid", ctypes.POINTER(ctypes.c_char_p)),
        ("scratch", ctypes.c_int32),
    )


def texts(values: list[str]) -> ctypes.Array:
    """A list of C strings, closed by NULL."""
    return (ctypes.c_char_p * (len(values) + 1))(*map(os.fsencode, values), None)


def main() -> None:
    """Serve until the socket ends."""
    library = ctypes.CDLL(sys.argv[1])
    library.zerrow_worker_stage.restype = ctypes.c_char_p
    for name in sys.argv[2:]:
        __import__(name)
    control = socket.socket(fileno=3)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control.send(b'{"op":"ready"}')
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, 1 << 18, 64)
        if not data:
            return
        request = json.loads(data)
        if request["op"] == "report-exit":
            pid, status = os.waitpid(request["pid"], 0)
            control.send(json.dumps({"op": "exited", "code": os.waitstatus_to_exitcode(status)}).encode())
            continue
        check(library, library.zerrow_fork_prepare())
        pid = os.fork()
        if pid == 0:
            be_worker(library, request, descriptors)
        check(library, library.zerrow_fork_restore())
        socket.send_fds(control, [json.dumps({"op": "forked", "pid": pid}).encode()], [os.pidfd_open(pid)])
        for descriptor in descriptors:
            os.close(descriptor)


def check(library: ctypes.CDLL, code: int) -> None:
    """Raise for a function's negative errno."""
    if code:
        raise OSError(-code, f"{library.zerrow_worker_stage().decode()}: {os.strerror(-code)}")


def place(descriptors: list[int]) -> None:
    """Make `descriptors` 3, 4, … and close the rest."""
    high = [os.dup2(number, 100 + index) for index, number in enumerate(descriptors)]
    for index, number in enumerate(high):
        os.dup2(number, 3 + index)
    os.closerange(3 + len(high), 2**31 - 1)


def be_worker(library: ctypes.CDLL, request: dict, descriptors: list[int]) -> None:
    """Isolate this process, run the request's function, and send what it returns. Never returns."""
    try:
        place(descriptors)
        rebuilt = [RebuiltFolder(os.fsencode(folder), texts(shown)) for folder, shown in request["rebuilt"]]
        spec = WorkerSpec(
            request["uid"],
            request["network"],
            request["tmp_bytes_max"],
            texts(request["tmp_entries"]),
            (RebuiltFolder * (len(rebuilt) + 1))(*rebuilt),
            texts(request["covered"]),
            texts(request["overlaid"]),
        )
        check(library, library.zerrow_worker_enter(ctypes.byref(spec)))
        scope: dict = {}
        exec(compile(request["code"], "attack", "exec"), scope)
        answer = {"value": scope[request["function"]](*request["arguments"])}
    except BaseException as error:
        answer = {"error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}
    with open(3, "w") as file:
        json.dump(answer, file)
    os._exit(0)


if __name__ == "__main__":
    main()
