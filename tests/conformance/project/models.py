"""Models whose results travel in every way there is, and models that attack or search what they read."""

from __future__ import annotations

import contents
import observing
import zerrow


@zerrow.model()
def large(numbers=zerrow.Model("numbers"), overwrite=zerrow.Parameter("overwrite")):
    """New memory, between secrets, and more of the user's code after it is published."""
    freed = [contents.surrounded(contents.large()["a"].to_numpy()) for _ in range(2)]
    del freed
    table = contents.large()
    observing.go_on_after_publishing(table, overwrite)
    return table


@zerrow.model()
def passed(large=zerrow.Model("large")):
    """Nothing new."""
    return large


@zerrow.model()
def mixed(large=zerrow.Model("large")):
    """Old and new columns side by side."""
    new = contents.column(large["a"].to_numpy() + 1)
    return large.select(["f"]).append_column("new", new).append_column("again", new)


@zerrow.model()
def small(numbers=zerrow.Model("numbers")):
    """Small buffers."""
    return contents.small()


@zerrow.model()
def overlapping(numbers=zerrow.Model("numbers"), overwrite=zerrow.Parameter("overwrite")):
    """Columns that share memory."""
    table = contents.overlapping()
    observing.go_on_after_publishing(table, overwrite)
    return table


@zerrow.model()
def untakeable(numbers=zerrow.Model("numbers")):
    """Memory that is not anonymous."""
    return contents.untakeable()


@zerrow.model()
def overlapping_again(table=zerrow.Model("overlapping")):
    """The same columns."""
    return table


@zerrow.model()
def untakeable_again(table=zerrow.Model("untakeable")):
    """The same columns."""
    return table


@zerrow.model()
def found(
    large=zerrow.Model("large"),
    overlapping=zerrow.Model("overlapping"),
    untakeable=zerrow.Model("untakeable"),
):
    """How often the published bytes and the secrets beside them are in what a reader can see."""
    tables = (large, overlapping, untakeable)
    public = large["a"].chunk(0).buffers()[1].to_pybytes()[4096:4128]
    return {
        "what": ["hidden", "public"],
        "count": [observing.count(tables, b) for b in (contents.secret("hidden"), public)],
    }


@zerrow.model()
def refused(large=zerrow.Model("large"), overlapping=zerrow.Model("overlapping")):
    """Which attempts to change a table were refused."""
    attempts = observing.attack(large["a"]) | observing.attack(overlapping["first"])
    return {"attempt": list(attempts), "refused": list(attempts.values())}
