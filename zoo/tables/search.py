"""A small query language for rows: `map > 80 and p50_ms < 5`. Queries are never evaluated as Python.

    or, and, not, ( )            as in Python
    < <= > >= == !=              a column with a number, a quoted text (== and != only), or another column
    ships                        a yes-or-no column on its own

Lark's LALR(1) parser reads the grammar: there are no calls, attributes or arithmetic, so there is nothing to escape
from and nothing that takes long. Libraries that evaluate were tried on hostile input (November 2026): rule-engine 5.1
did not return from `name =~ '(a+)+$'` and raised RecursionError on deep nesting; simpleeval 1.0.8 lets Python's own
SyntaxError, RecursionError and TypeError through; both fail on a missing value.

A missing or void value is neither above nor below anything: a comparison with it is unknown, as with NULL in SQL,
also under `not`, and a row whose answer is unknown does not match.
"""

from __future__ import annotations

import operator
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedInput, UnexpectedToken, VisitError

from zoo.errors import CompareError
from zoo.tables.columns import COLUMNS, Kind, Row
from zoo.tables.comparison import Comparison, by_column, check_column
from zoo.tables.protocol import grouped

LONGEST = 1000  # characters; which also limits the depth of nesting
SHOWN = 60  # characters of the query that an error quotes
EXAMPLE = "map > 80 and p50_ms < 5"
BARE = re.compile(r"""([a-z_]\w*)\s*(==|!=)\s*([^\s'"()<>=!]+)""", re.IGNORECASE)  # a column and a text without quotes
GRAMMAR = r"""
    ?either: both | either "or"i both       -> either
    ?both: one | both "and"i one            -> both
    ?one: "not"i one                        -> opposite
        | value OPERATOR value              -> compared
        | NAME                              -> flag
        | "(" either ")"
    value: NAME                             -> column
        | NUMBER                            -> number
        | TEXT                              -> text
    OPERATOR: "<=" | ">=" | "==" | "!=" | "<" | ">"
    NAME: /[a-z_][a-z0-9_]*/i
    NUMBER: /[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?/i
    TEXT: /"[^"]*"|'[^']*'/
    %ignore /\s+/
"""
OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip

Answer = bool | None  # None: unknown
Question = Callable[[Row], Answer]


@dataclass(frozen=True)
class _Value:
    kind: Kind
    said: str
    of: Callable[[Row], Any]


@v_args(inline=True)
class _Questions(Transformer[Token, Question]):
    """Turns a parse tree into a function of a row; types are checked before any row is read."""

    def column(self, name: Token) -> _Value:
        key = check_column(str(name)[:SHOWN])
        return _Value(COLUMNS[key].kind, key, lambda row: row[key])

    def number(self, digits: Token) -> _Value:
        value = float(digits)
        return _Value("number", str(digits)[:SHOWN], lambda _: value)

    def text(self, quoted: Token) -> _Value:
        value = str(quoted[1:-1])
        return _Value("text", str(quoted)[:SHOWN], lambda _: value)

    def flag(self, name: Token) -> Question:
        column = self.column(name)
        if column.kind != "yes or no":
            raise CompareError(f"{column.said} is a {column.kind}, not a yes or no. Compare it with a value.")
        return column.of

    def compared(self, left: _Value, sign: Token, right: _Value) -> Question:
        if left.kind != right.kind:
            raise CompareError(
                f"{sign} can't compare {left.said}, a {left.kind}, with {right.said}, a {right.kind}. Compare it with "
                f"a {left.kind}."
            )
        if left.kind != "number" and sign not in ("==", "!="):
            raise CompareError(f"{left.said} is a {left.kind}: use == or !=, not {sign}.")
        holds = OPERATORS[sign]

        def question(row: Row) -> Answer:
            values = left.of(row), right.of(row)
            return None if None in values else holds(*values)

        return question

    def opposite(self, inner: Question) -> Question:
        def question(row: Row) -> Answer:
            answer = inner(row)
            return None if answer is None else not answer

        return question

    def both(self, left: Question, right: Question) -> Question:
        def question(row: Row) -> Answer:
            answers = left(row), right(row)
            return False if False in answers else None if None in answers else True

        return question

    def either(self, left: Question, right: Question) -> Question:
        def question(row: Row) -> Answer:
            answers = left(row), right(row)
            return True if True in answers else None if None in answers else False

        return question


def _quotes(expression: str) -> str:
    """How to write a text that lacks its quotes; empty if none does."""
    for column, sign, word in BARE.findall(expression):
        if column in COLUMNS and COLUMNS[column].kind == "text" and word not in COLUMNS:
            return f"A text needs quotes: {column} {sign} '{word[:SHOWN]}'"
    return ""


@cache
def _parser() -> Lark:
    return Lark(GRAMMAR, start="either", parser="lalr", transformer=_Questions())


def read_question(expression: str) -> Question:
    """Compile a query to a function of a row, which returns yes, no, or None for unknown.

    Raises:
        CompareError: the query can't be parsed, names an unknown column, or compares different types.
    """
    if len(expression) > LONGEST:
        raise CompareError(f"the query has {len(expression)} characters; the limit is {LONGEST}. Shorten it.")
    try:
        return _parser().parse(expression)  # type: ignore[return-value]
    except VisitError as error:
        if isinstance(error.orig_exc, CompareError):
            raise error.orig_exc from None
        raise
    except CompareError as error:
        if quotes := _quotes(expression):
            raise CompareError(f"{error} {quotes}") from None
        raise
    except UnexpectedInput as error:
        ended = isinstance(error, UnexpectedToken) and error.token.type == "$END"
        at = error.pos_in_stream or 0
        where = "at its end" if ended else f"at character {at + 1}, {expression[at : at + 20]!r}"
        if quotes := _quotes(expression):
            raise CompareError(f"the query can't be parsed {where}. {quotes}") from None
        raise CompareError(
            f"the query can't be parsed {where}. Compare columns, as in: {EXAMPLE}. Operators: < <= > >= == != "
            "and or not ( ). There is no arithmetic and there are no calls."
        ) from None


@dataclass(frozen=True)
class Matches:
    """Matching rows, and a line that says how many rows were searched."""

    comparison: Comparison
    told: str


def found(comparison: Comparison, question: Question, sort: str | None, all_precisions: bool) -> Matches:
    """Matching rows, in one table per protocol.

    Args:
        sort: a column; by default, rows are sorted by release.
        all_precisions: include rows that do not ship.

    Raises:
        CompareError: there is no such column.
    """
    rows = [row for row in comparison.rows if all_precisions or row["ships"]]
    answered = [(row, question(row)) for row in rows]
    kept = [row for row, answer in answered if answer]
    unknown = sum(answer is None for _, answer in answered)
    told = f"{len(kept)} of {len(rows)} match"
    told += f"; {unknown} unknown: a value is missing or void" if unknown else ""
    beside = Counter(row["kind"] for row in comparison.beside)
    told += f"; not measured: {', '.join(f'{n} {kind}' for kind, n in beside.items())}" if beside else ""
    return Matches(Comparison(grouped(by_column(kept, sort) if sort else kept)), told)
