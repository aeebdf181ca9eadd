"""Limits and names of the protocol, written by Sources/Protocol/generate."""

MESSAGE_BYTES_MAX = 131_072
"""Bytes of a message."""
DESCRIPTORS_MAX = 200
"""Descriptors beside one message."""
JSON_DEPTH_MAX = 64
"""Levels of arrays and objects in a message, or in a JSON file beside one."""
JSON_FILE_BYTES_MAX = 1_048_576
"""Bytes of the JSON file of `wants` or `decoded`."""
JSON_VALUES_MAX = 262_144
"""Values in that file or in a message: texts, keys among them, numbers, words, arrays and objects."""
PLAN_BYTES_MAX = 67_108_864
"""Bytes of a plan: the planner's answer, a client's call, and the report that it gets."""
PLAN_DEPTH_MAX = 256
"""Levels of arrays and objects in a plan."""
PLAN_VALUES_MAX = 8_388_608
"""Values in the JSON of a plan: texts, keys among them, numbers, words, arrays and objects."""
PLAN_MODELS_MAX = 100_000
"""Models of a plan."""
NAME_BYTES_MAX = 1_024
"""Bytes of the name of a model or an environment, and of a key."""
PATH_BYTES_MAX = 4_096
"""Bytes of a path, the kernel's PATH_MAX."""
DESCRIPTOR_BYTES_MIN = 16_777_216
"""Bytes of SIPC descriptors that any worker may send."""
DESCRIPTOR_MEMORY_PARTS = 8
"""A worker with a memory limit may send SIPC descriptors of that part of it, if that is more."""
DESCRIPTOR_BYTES_MAX = 1_073_741_824
"""Bytes of the SIPC descriptors of one worker, whatever its limit."""
DECODED_MESSAGES_MAX = 64
"""Messages `decoded` of one scan."""
DECODED_PIECES_MAX = 4_096
"""Pieces that one scan gives."""
TABLE_FILES_MAX = 4_096
"""Files that one materialization makes of a table."""
WRITTEN_BYTES_MAX = 16_777_216
"""Bytes of the JSON file of `wrote`."""
TEXT_BYTES_MAX = 98_304
"""Bytes of each text in a message that is shown to people; the rest is cut off."""
NOTE_BYTES_MAX = 20_000
"""Bytes of a text that a client is told; the rest is cut off."""
MESSAGES_PER_TURN = 64
"""Messages of one worker, or of one zygote or client, before the engine looks at the others."""
LINES_PER_TURN = 256
"""Printed lines of one worker before the engine looks at the others."""
OUTPUT_BYTES_PER_TURN = 65_536
"""Bytes of printed output of one worker before the engine looks at the others."""
LINE_BYTES_MAX = 16_384
"""Bytes of a printed line; a longer one is cut into several."""
CLIENTS_MAX = 256
"""Clients of an engine; of more, the one without a run is cut off that has had none for longest."""
CLIENT_DESCRIPTOR_PARTS = 8
"""An engine has no more clients than that part of the descriptors it may have (`RLIMIT_NOFILE`), if that is less."""
CLIENT_IDLE_SECONDS_MAX = 10
"""Seconds that a client is connected without a call, or after its run."""
QUEUED_LINES_MAX = 10_000
"""Printed lines that wait for a client that does not read; more are dropped, and it is told how many."""
QUEUED_BYTES_MAX = 16_777_216
"""Bytes that wait for a client that does not read; it is cut off when there are more, which cancels its run."""

ZYGOTE_OPS = (
    "ready",
    "forked",
    "fork-failed",
    "exited",
)
TO_ZYGOTE_OPS = (
    "preload",
    "fork",
)
WORKER_OPS = (
    "started",
    "running",
    "wants",
    "decoded",
    "wants-files",
    "wants-room",
    "wrote",
    "published",
    "done",
    "failed",
)
TO_WORKER_OPS = (
    "segments",
    "table",
    "run",
    "pieces",
    "new-files",
    "room",
    "taken",
)
CLIENT_OPS = (
    "run",
    "cancel",
    "planner",
)
TO_CLIENT_OPS = (
    "refused",
    "began",
    "model-started",
    "printed",
    "note",
    "model-ended",
    "memory",
    "segments",
    "table",
    "ended",
)
TO_SCRIPT_OPS = (
    "hello",
    "began",
    "model-started",
    "printed",
    "note",
    "model-ended",
    "segments",
    "table",
)
PLANNER_OPS = (
    "ready",
    "forked",
    "exited",
)
TO_PLANNER_OPS = (
    "client",
    "plan",
)
COUNTS = (
    "reshared_bytes",
    "born_shared_bytes",
    "deanonymized_bytes",
    "packed_bytes",
    "copied_bytes",
)
PAGE_COUNTS = (
    "ranges",
    "refused_ranges",
    "refusal",
    "moved_pages",
    "moved_huge_pages",
    "moved_swap_pages",
    "hole_pages",
    "copied_edge_pages",
    "copied_shared_pages",
    "copied_pinned_pages",
    "copied_other_pages",
)
DECACHE_COUNTS = (
    "wanted_units",
    "reused_units",
    "decoded_units",
    "pieces_bytes",
)
TIMINGS = (
    "open_ms",
    "user_ms",
    "publish_ms",
    "user_at_ms",
    "publish_at_ms",
)
