"""The chain as calls of functions in one process. Arguments: count, bytes."""

from __future__ import annotations

import json
import sys

from steps import answer, first, rows_of, step


def main() -> None:
    count, size = map(int, sys.argv[1:])
    for _ in sys.stdin:
        table = first(rows_of(size))
        for _ in range(count - 1):
            table = step(table)
        print(json.dumps(answer(table, count)), flush=True)


if __name__ == "__main__":
    main()
