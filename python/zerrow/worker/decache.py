"""DeCache seen from a scan: it asks for what has been decoded, and gives what it decodes itself (docs/protocol.md)."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from zerrow.worker.abi import Session
from zerrow.worker.blocks import Block, Piece
from zerrow.worker.channel import Channel, Message
from zerrow.worker.failures import WorkerFailure
from zerrow.worker.ops import DECODED_MESSAGES_MAX, DESCRIPTORS_MAX, JSON_FILE_BYTES_MAX, JSON_VALUES_MAX
from zerrow.worker.results import to_stream

SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
PIECES_MAX = DESCRIPTORS_MAX - 1
"""The most pieces of one message: a descriptor each, beside that of their blocks."""


class Exchange:
    """One worker's dealings with DeCache: it asks once, and at its end gives what it has decoded."""

    def __init__(
        self, channel: Channel, session: Session, take_segments: Callable[[Session, Message], None], bytes_max: int
    ) -> None:
        """`bytes_max` is the most memory to keep for the cache alone."""
        self.bytes_max = bytes_max
        self._channel = channel
        self._session = session
        self._take_segments = take_segments
        self._wanted: list[Block] = []
        self._given: list[Piece] = []
        self._reused_units = 0
        self._decoded_units = 0
        self._has_asked = False
        self._wait_s = 0.0

    def ask(self, wants: list[Block]) -> list[tuple[Block, pa.Table]]:
        """The cached tables that hold wanted units; waits while somebody else decodes some of these. Once, and for at
        least one.

        Of more than a message may name, the largest blocks are asked for.

        Raises WorkerFailure of kind `internal` for an answer that is none, OSError when the engine is gone.
        """
        assert wants and not self._has_asked
        wants = fitting(wants)
        if not wants:
            return []
        self._wanted, self._has_asked = wants, True
        asked = time.perf_counter()
        descriptor = blocks_file("units", wants)
        try:
            self._channel.send("wants", {}, (descriptor,))
        finally:
            os.close(descriptor)
        found: list[tuple[Block, pa.Table]] = []
        while (message := self._channel.receive()) is not None:
            if message.op == "segments":
                self._take_segments(self._session, message)
            elif message.op == "pieces":
                found += self._take_pieces(message)
                if message.body.get("last") is True:
                    self._wait_s = time.perf_counter() - asked
                    return found
            else:
                message.close()
                raise WorkerFailure("internal", f"the message {message.op!r} answers no 'wants'")
        raise ConnectionResetError("the engine is gone")

    def _take_pieces(self, message: Message) -> list[tuple[Block, pa.Table]]:
        try:
            if not message.descriptors or not isinstance(message.body.get("last"), bool):
                raise WorkerFailure(
                    "internal", "a message 'pieces' lacks its blocks, or does not say if it is the last"
                )
            blocks = read_blocks("pieces", message.descriptors[0])
            tables = message.descriptors[1:]
            if len(blocks) != len(tables):
                raise WorkerFailure("internal", "a message 'pieces' has not one table for each block")
            return [(block, self._session.open(table)) for block, table in zip(blocks, tables, strict=True)]
        finally:
            message.close()

    def count(self, reused_units: int, decoded_units: int) -> None:
        """Note how many units came from the cache, and how many were decoded."""
        self._reused_units += reused_units
        self._decoded_units += decoded_units

    def give(self, piece: Piece) -> None:
        """Have a piece published once the scan's own result is: its file has not changed.

        Where nothing was asked for, nothing is given.
        """
        if self._has_asked:
            self._given.append(piece)

    def publish(self) -> tuple[list[tuple[Block, int]], dict[str, int | float]]:
        """Publish the pieces that were given: blocks with their SIPC descriptors, and the figures of the message
        `published`.

        After the result, so that bytes they share count as the result's. The caller closes the descriptors.
        """
        named, published = 0, []
        for piece in self._given:
            counts, descriptor = self._session.publish(to_stream(piece.table))
            named += counts.bytes
            published.append((piece.block, descriptor))
        figures = {
            "wanted_units": sum(block.units for block in self._wanted),
            "reused_units": self._reused_units,
            "decoded_units": self._decoded_units,
            "pieces_bytes": named,
            "wait_ms": round(1000 * self._wait_s, 3),
        }
        return published, figures

    def send(self, published: list[tuple[Block, int]]) -> None:
        """Send the messages `decoded`, and close the descriptors. Pieces that don't fit into them are not given."""
        for count, part in enumerate(parts(published)):
            descriptors = [file for _, file in part]
            try:
                if count < DECODED_MESSAGES_MAX:
                    descriptors.insert(0, blocks_file("pieces", [block for block, _ in part]))
                    self._channel.send("decoded", {}, descriptors)
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)


def _json_bytes(block: Block) -> int:
    """The bytes that a block takes in a list, with those between two blocks; more where it has many values."""
    body = block.as_json()
    # An object, four keys, a number, a text and two lists; in one of them each element is a list of two numbers.
    values = 9 + len(body["columns"]) + 3 * len(body["groups"])
    return max(len(json.dumps(body)) + 2, values * JSON_FILE_BYTES_MAX // JSON_VALUES_MAX)


_ROOM_BYTES = JSON_FILE_BYTES_MAX - 100
"""The bytes that blocks may take in a file, less the frame of their list."""


def fitting(blocks: list[Block]) -> list[Block]:
    """The blocks that one file may name, in their order: if they are too many, those of most units."""
    sizes = [_json_bytes(block) for block in blocks]
    if sum(sizes) <= _ROOM_BYTES:
        return blocks
    kept, room = set(), _ROOM_BYTES
    for index in sorted(range(len(blocks)), key=lambda index: -blocks[index].units):
        if sizes[index] <= room:
            kept.add(index)
            room -= sizes[index]
    return [block for index, block in enumerate(blocks) if index in kept]


def parts(published: list[tuple[Block, int]]) -> list[list[tuple[Block, int]]]:
    """Pieces for one message each: as many as its file may name, and as there may be descriptors.

    Closes the descriptor of what fits into none.
    """
    result: list[list[tuple[Block, int]]] = [[]]
    room = _ROOM_BYTES
    for block, descriptor in published:
        size = _json_bytes(block)
        if size > _ROOM_BYTES:
            os.close(descriptor)
            continue
        if size > room or len(result[-1]) == PIECES_MAX:
            result.append([])
            room = _ROOM_BYTES
        result[-1].append((block, descriptor))
        room -= size
    return [part for part in result if part]


def blocks_file(key: str, blocks: list[Block]) -> int:
    """A sealed memfd with blocks, for the caller to close."""
    return sealed_file("zerrow-blocks", json.dumps({key: [block.as_json() for block in blocks]}).encode())


def sealed_file(name: str, content: bytes) -> int:
    """A sealed memfd of that content, for the caller to close."""
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(content)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, SEALS)
    return descriptor


def read_blocks(key: str, descriptor: int) -> list[Block]:
    """The blocks of a memfd, which stays the caller's. Raises WorkerFailure of kind `internal`."""
    try:
        body: Any = json.loads(os.pread(descriptor, os.fstat(descriptor).st_size, 0))
    except (ValueError, RecursionError, OSError) as error:
        raise WorkerFailure("internal", f"the blocks of a message cannot be read: {error}") from error
    if not isinstance(body, dict) or not isinstance(body.get(key), list):
        raise WorkerFailure("internal", f"the blocks of a message are no list {key!r}")
    return [Block.from_json(block) for block in body[key]]
