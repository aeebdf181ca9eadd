"""The parts of a SQL model that ask the world: functions of the time, of chance and of the session, and samples."""

from __future__ import annotations

import sqlglot
from sqlglot import exp
from sqlglot.tokens import Token, TokenType

from zerrow.plan.declarations import SqlModel
from zerrow.plan.dialect import DIALECT
from zerrow.plan.world import Mention
from zerrow.plan.world_names import SQL_BARE_WORDS, SQL_WORDS


def asks(model: SqlModel) -> Mention | None:
    """The first thing that the query asks the world for, with its line in the file."""
    mention = asked_by(model.written)
    if mention is not None:
        return mention
    for call in model.tree.find_all(exp.Anonymous):
        # With one argument it is the age today.
        if call.name.lower() == "age" and len(call.expressions) == 1:
            return Mention("age()", call.meta.get("line", model.line))
    return None


def asked_by(sql: str) -> Mention | None:
    """The first thing that a text asks the world for by a word. Comments and texts in it ask nothing."""
    tokens = sqlglot.tokenize(sql, read=DIALECT)
    for index, token in enumerate(tokens):
        word = token.text.lower()
        before = tokens[index - 1] if index else None
        behind = tokens[index + 1] if index + 1 < len(tokens) else None
        if token.token_type == TokenType.STRING:
            if word == "now":
                return Mention("'now'", token.line)
            continue
        if word in SQL_WORDS and _is(behind, TokenType.L_PAREN):
            return Mention(f"{word}()", token.line)
        # In quotes it is a column's name.
        if word in SQL_BARE_WORDS and not (
            token.token_type == TokenType.IDENTIFIER
            or _is(before, TokenType.DOT, TokenType.ALIAS)
            or _is(behind, TokenType.DOT, TokenType.L_PAREN)
        ):
            return Mention(word, token.line)
        if word == "tablesample" or (word == "sample" and before is not None and before.text.lower() == "using"):
            return Mention("a sample", token.line)
    return None


def _is(token: Token | None, *kinds: TokenType) -> bool:
    return token is not None and token.token_type in kinds
