"""The engine's protocol, seen from a process it started: JSON datagrams with file descriptors beside them."""

import contextlib
import json
import os
import socket
from collections.abc import Iterable
from typing import Any, NamedTuple

from zerrow.errors import ZerrowError
from zerrow.worker.ops import DESCRIPTORS_MAX, MESSAGE_BYTES_MAX


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

    def __init__(self, descriptor: int) -> None:
        """Take ownership of the socket `descriptor`."""
        self._socket = socket.socket(fileno=descriptor)

    def fileno(self) -> int:
        """The socket, for `poll`."""
        return self._socket.fileno()

    def receive(self) -> Message | None:
        """Wait for the next message; None when the peer is gone.

        Raises ProtocolError for anything malformed, after closing the descriptors that came with it.
        """
        try:
            data, descriptors, flags, _ = socket.recv_fds(
                self._socket, MESSAGE_BYTES_MAX + 1, DESCRIPTORS_MAX, socket.MSG_CMSG_CLOEXEC
            )
        except ConnectionResetError:
            return None
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
        """Send one message; the caller keeps `descriptors`. Raises OSError when the peer is gone."""
        socket.send_fds(self._socket, [encoded(op, fields)], list(descriptors))

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


def _decode(data: bytes) -> tuple[str, dict[str, Any]]:
    try:
        body = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"a message is not JSON: {error}") from None
    if not isinstance(body, dict) or not isinstance(body.get("op"), str):
        raise ProtocolError("a message is not a JSON object with a string 'op'")
    return body["op"], body
