"""Filters over long texts, one after the other; each keeps most rows. Where the texts are dictionary-encoded, a filter
makes new indices and passes on the dictionary.
"""

import pyarrow.compute as pc
import zerrow


def without(table, divisor, rest):
    """The rows whose id does not leave this rest."""
    quotient = pc.divide(table["id"], divisor)
    rests = pc.subtract(table["id"], pc.multiply(quotient, divisor))
    return table.filter(pc.not_equal(rests, rest % divisor))


@zerrow.model()
def first_choice(texts=zerrow.Model("texts"), left_out=zerrow.Parameter("left_out")):
    """Nine of ten rows."""
    return without(texts, 10, left_out)


@zerrow.model()
def second_choice(rows=zerrow.Model("first_choice"), left_out=zerrow.Parameter("left_out")):
    """Eight of nine rows of these."""
    return without(rows, 9, left_out)


@zerrow.model()
def third_choice(rows=zerrow.Model("second_choice"), left_out=zerrow.Parameter("left_out")):
    """Seven of eight rows of these."""
    return without(rows, 8, left_out)


@zerrow.model()
def chosen(rows=zerrow.Model("third_choice")):
    """How often each of the first texts is left."""
    return rows.unify_dictionaries().group_by("text0").aggregate([("id", "count")])
