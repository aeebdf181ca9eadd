"""What the engine of a SQL model may use: memory of its worker, and a folder on a disk to which it spills the rest."""

from __future__ import annotations

import errno
import os
import re
import resource
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from zerrow.worker.failures import WorkerFailure, is_memory

DUCKDB_TENTHS = 7
"""So many tenths of the memory are DuckDB's to count. What it does not count (vectors, Arrow batches, its threads'
allocators) and the result take the rest: measured, a sort of 600 MB under 512 MiB took 1.36 times its setting.
"""

DATAFUSION_TENTHS = 5
"""The same for DataFusion, which counts less: 1.45 times its setting, and what it reads of a Parquet file."""

ENGINE_BYTES_MIN = 32 << 20
"""No engine is given less: each needs some blocks at once."""

SMALL_BYTES = 1 << 30
"""A DataFusion with less memory works with SMALL_BATCH_ROWS at once, with RETRY_BATCH_ROWS where that was too little:
it merges as many batches as it has spilled files."""
SMALL_BATCH_ROWS = 1 << 14
RETRY_BATCH_ROWS = 1 << 13
RETRY_PARTITIONS = 2

_FULL = re.compile(
    r"No space left on device|max_temp_directory_size|disk usage limit|Disk quota exceeded|os error 28\b|os error 122\b"
    r"|Could not write (all bytes )?to file",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class SqlLimits:
    """The limits of one worker, as the message `run` has them; by default there are none."""

    memory_bytes: int | None = None
    is_retry: bool = False
    scratch: str | None = None
    scratch_bytes_max: int = 0
    place: str | None = None
    _written_before: int = field(default_factory=lambda: written_bytes(), repr=False)

    @staticmethod
    def of(body: Mapping[str, Any]) -> SqlLimits:
        """Those of a message `run`; what is not of its type is left out."""
        memory, most = body.get("memory_bytes"), body.get("scratch_bytes_max")
        scratch, place = body.get("scratch"), body.get("scratch_place")
        return SqlLimits(
            memory if type(memory) is int and memory >= 0 else None,
            body.get("retry") is True,
            scratch if isinstance(scratch, str) and type(most) is int else None,
            most if type(most) is int and most >= 0 else 0,
            place if isinstance(place, str) else None,
        )

    def engine_bytes(self, tenths: int) -> int | None:
        """The engine's part of the memory; None for no limit."""
        if self.memory_bytes is None:
            return None
        return max(self.memory_bytes * tenths // 10, ENGINE_BYTES_MIN)

    def spilled_bytes(self) -> int | None:
        """The bytes that were written to the folder since this was made; None where there is no folder."""
        return None if self.scratch is None else max(0, written_bytes() - self._written_before)

    # DuckDB

    def limit_duckdb(self, connection: Any) -> None:
        """Have DuckDB keep to these limits."""
        memory = self.engine_bytes(DUCKDB_TENTHS)
        if memory is not None:
            connection.execute(f"set memory_limit = '{memory // 1024}KiB'")
        if self.scratch is None:
            # Its own default is a folder beside the current one.
            connection.execute("set temp_directory = ''")
            return
        connection.execute("set temp_directory = '" + self.scratch.replace("'", "''") + "'")
        connection.execute(f"set max_temp_directory_size = '{self.scratch_bytes_max // 1024}KiB'")
        if self.is_retry:
            # Each thread holds blocks of its own.
            connection.execute("set threads = 1")

    # DataFusion

    def datafusion_settings(self, cpus: int) -> dict[str, str]:
        """Settings of a session beside those that all sessions have.

        DataFusion's hash joins hold one of their sides in memory and do not spill; where that was too much, a second
        worker sorts both sides, which spills.
        """
        memory = self.engine_bytes(DATAFUSION_TENTHS)
        settings = {}
        if memory is not None:
            # What each sort keeps for merging: it holds its keys once more, and fails where another sort has taken what
            # that needs. A join may sort both its sides in each partition, which leaves half of the memory for rows.
            partitions = RETRY_PARTITIONS if self.is_retry else cpus
            settings["datafusion.execution.sort_spill_reservation_bytes"] = str(memory // (4 * max(partitions, 1)))
            if memory < SMALL_BYTES:
                settings["datafusion.execution.batch_size"] = str(SMALL_BATCH_ROWS)
        if self.is_retry and self.scratch is not None:
            settings["datafusion.optimizer.prefer_hash_join"] = "false"
            # It joins no sorted tables where there is one partition only.
            settings["datafusion.execution.target_partitions"] = str(RETRY_PARTITIONS)
            settings["datafusion.execution.batch_size"] = str(RETRY_BATCH_ROWS)
        return settings

    def datafusion_session(self, settings: Any) -> Any:
        """A session with these settings that keeps to the limits."""
        import datafusion

        builder, memory = datafusion.RuntimeEnvBuilder(), self.engine_bytes(DATAFUSION_TENTHS)
        if memory is not None:
            builder = builder.with_fair_spill_pool(memory)
        if self.scratch is None:
            return datafusion.SessionContext(settings, builder.with_disk_manager_disabled())
        # Setting the size would undo the choice of a folder, and the other way round. By itself it takes the system's,
        # when it first spills.
        os.environ["TMPDIR"] = self.scratch
        context = datafusion.SessionContext(settings, builder.with_disk_manager_os())
        size = max(1, self.scratch_bytes_max >> 10)
        context.sql(f"SET datafusion.runtime.max_temp_directory_size = '{size}K'")
        return context

    # Failures

    @contextmanager
    def explaining(self, is_in_memory: Callable[[BaseException], bool] = is_memory) -> Iterator[None]:
        """Say of an error that is for want of memory or of room in the folder what to do about it."""
        try:
            yield
        except WorkerFailure:
            raise
        except Exception as error:
            if not self._is_full(error) and not is_in_memory(error):
                raise
            # The frames hold the query, and with it memory that telling of the failure may need.
            error.with_traceback(None)
            said = str(error).split("\n\nPossible solutions", 1)[0].strip()
            if self._is_full(error):
                raise WorkerFailure("user", self._full(said)) from error
            raise WorkerFailure("memory", f"out of memory: {said}{self._advice()}") from error

    def is_short(self, error: BaseException) -> bool:
        """Whether an error of the engine is for want of memory, or of room in the folder."""
        return is_memory(error) or self._is_full(error)

    def _is_full(self, error: BaseException) -> bool:
        if self.scratch is None:
            return False
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        return _FULL.search(str(error)) is not None

    def _full(self, said: str) -> str:
        place = self.place or self.scratch
        written = (self.spilled_bytes() or 0) >> 20
        return (
            f"the engine spilled {written} MiB to {place}, and there is no more room: {said}\n"
            "make room there, name another folder with --spill-dir, or give the run more memory"
        )

    def _advice(self) -> str:
        if self.scratch is None:
            return "\nit can't spill: no folder on a disk was found, name one with --spill-dir"
        if self.memory_bytes is None:
            return ""
        return (
            f"\nthe engine spills to {self.place or self.scratch} what it can, and this it has to hold at once in the "
            f"{self.memory_bytes >> 20} MiB of its worker: give the run or the model more memory (--memory, memory=)"
        )


def written_bytes() -> int:
    """The bytes that this process has written to files on disks: the kernel counts pages as they are made dirty."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_oublock * 512
