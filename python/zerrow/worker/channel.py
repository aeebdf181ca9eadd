"""The engine's protocol, seen from a process it started: JSON datagrams with file descriptors beside them."""

import contextlib
import errno
import json
import os
import socket
import struct
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

from zerrow.errors import ZerrowError
from zerrow.worker.ops import DESCRIPTORS_MAX, MESSAGE_BYTES_MAX

# Made once in the zygote for it and for all its workers: a new one for each message would be mapped, and unmapped.
_received = bytearray(MESSAGE_BYTES_MAX + 1)
_DESCRIPTORS_BYTES = socket.CMSG_SPACE(DESCRIPTORS_MAX * struct.calcsize("i"))

RETRY_S = 0.02
"""How long to wait until the kernel may have room for descriptors again."""


class ProtocolError(ZerrowError):
    """The peer sent something that is no message of the protocol (docs/protocol.md)."""


class Message(NamedTuple):
    """One received datagram; whoever receives it owns its descriptors."""

    op: str
    body: dict[str, Any]
    descriptors: list[int]

    def close(self) -> None:
        """Close the descriptors that nobody took."""
        for descriptor in self.descriptors:
            os.close(descriptor)


class Channel:
    """One end of an `AF_UNIX` `SOCK_SEQPACKET` socket pair. Used by one thread."""

    def __init__(self, descriptor: int, takes: bool = False) -> None:
        """Take ownership of the socket `descriptor`; `takes`: its peer can take descriptors out of this process."""
        self._takes = takes
        self._socket = socket.socket(fileno=descriptor)

    def fileno(self) -> int:
        """The socket, for `poll`."""
        return self._socket.fileno()

    def receive(self) -> Message | None:
        """Wait for the next message; None when the peer is gone.

        Raises ProtocolError for anything malformed, after closing the descriptors that came with it.
        """
        try:
            count, beside, flags, _ = self._socket.recvmsg_into(
                (_received,), _DESCRIPTORS_BYTES, socket.MSG_CMSG_CLOEXEC
            )
        except ConnectionResetError:
            return None
        data = _received[:count]
        descriptors = [number for level, kind, content in beside for number in _descriptors(level, kind, content)]
        if not data and not descriptors:
            return None
        try:
            if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC) or len(data) > MESSAGE_BYTES_MAX:
                raise ProtocolError(f"a message has over {MESSAGE_BYTES_MAX} bytes or {DESCRIPTORS_MAX} descriptors")
            return Message(*_decode(data), descriptors)
        except ProtocolError:
            for descriptor in descriptors:
                os.close(descriptor)
            raise

    def send(self, op: str, fields: dict[str, Any] | None = None, descriptors: Iterable[int] = ()) -> None:
        """Send one message; the caller keeps `descriptors`. Raises OSError when the peer is gone.

        The kernel refuses descriptors while too many of this user's are on their way, whoever sent them. Then the
        engine is asked to take them from here by their numbers, before this returns; where it can't, this waits.
        """
        held = list(descriptors)
        while not self._send_descriptors(encoded(op, fields), held):
            if self._takes and self._is_taken(encoded(op, {**(fields or {}), "held": held})):
                return
            time.sleep(RETRY_S)

    def _send_descriptors(self, data: bytes, descriptors: list[int]) -> bool:
        if not descriptors:
            self._socket.send(data)
            return True
        try:
            socket.send_fds(self._socket, [data], descriptors)
        except OSError as error:
            if error.errno != errno.ETOOMANYREFS:
                raise
            return False
        return True

    def _is_taken(self, data: bytes) -> bool:
        self._socket.send(data)
        answer = self.receive()
        if answer is None:
            raise ConnectionResetError("the engine is gone")
        answer.close()
        if answer.op != "taken":
            raise ProtocolError(f"the message {answer.op!r} does not say whether descriptors were taken")
        return answer.body.get("ok") is True

    def close(self) -> None:
        """Close the socket."""
        with contextlib.suppress(OSError):
            self._socket.close()


def encoded(op: str, fields: dict[str, Any] | None = None) -> bytes:
    """A message without its descriptors."""
    data = json.dumps({"op": op, **(fields or {})}).encode()
    if len(data) > MESSAGE_BYTES_MAX:
        raise ProtocolError(f"the message {op!r} has {len(data)} bytes; at most {MESSAGE_BYTES_MAX} can be sent")
    return data


def _descriptors(level: int, kind: int, content: bytes) -> tuple[int, ...]:
    if level != socket.SOL_SOCKET or kind != socket.SCM_RIGHTS:
        return ()
    return struct.unpack(f"{len(content) // 4}i", content[: len(content) // 4 * 4])


def _decode(data: bytes | bytearray) -> tuple[str, dict[str, Any]]:
    try:
        body = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"a message is not JSON: {error}") from None
    if not isinstance(body, dict) or not isinstance(body.get("op"), str):
        raise ProtocolError("a message is not a JSON object with a string 'op'")
    return body["op"], body
