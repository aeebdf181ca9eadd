"""A scan's files by their numbers: no name in its sandbox leads to them, so it asks the file broker for descriptors."""

from __future__ import annotations

import array
import os
import socket
import struct

FILES_MAX = 64
"""Files that are asked for at once where they are read one after the other: the most that the broker gives."""


class BrokeredFiles:
    """What the file broker at the other end of a socket gives of one list. It is closed with the process."""

    def __init__(self, descriptor: int, count: int) -> None:
        """`descriptor` is the socket's, which belongs to this object; the list has `count` files."""
        self.descriptor = descriptor
        self.count = count
        self._socket = socket.socket(fileno=descriptor)
        self._count = count
        self._last = -2
        self._ahead: dict[int, int] = {}

    def open(self, number: int) -> int:
        """A descriptor of a file of the list, read-only. Raises OSError; errno ESTALE: it is another file now."""
        if number not in self._ahead:
            wanted = FILES_MAX if number == self._last + 1 else 1
            self._ask(number, max(1, min(wanted, self._count - number)))
        self._last = number
        found = self._ahead.pop(number)
        if found < 0:
            raise OSError(-found, os.strerror(-found))
        return found

    def _ask(self, first: int, count: int) -> None:
        self._socket.sendall(struct.pack("=II", first, count))
        answer, descriptors, _, _ = socket.recv_fds(self._socket, 4 * count, count, socket.MSG_CMSG_CLOEXEC)
        errors = array.array("i", answer[: len(answer) // 4 * 4])
        if len(errors) != count or list(errors).count(0) != len(descriptors):
            for descriptor in descriptors:
                os.close(descriptor)
            raise OSError("the process that opens the sources has ended: run again")
        given = iter(descriptors)
        for number, error in enumerate(errors, first):
            # A file may have been asked for ahead that is then opened out of order.
            self._forget(number)
            self._ahead[number] = next(given) if error == 0 else -error

    def _forget(self, number: int) -> None:
        descriptor = self._ahead.pop(number, -1)
        if descriptor >= 0:
            os.close(descriptor)
