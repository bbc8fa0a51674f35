"""A small language for questions on rows: `map > 80 and p50_ms < 5`. Nothing of it is ever evaluated as Python.

    or, and, not, ( )            as in Python
    < <= > >= == !=              a column with a number, a text in quotes (== and != only), or another column
    ships                        a column that is yes or no stands alone

The grammar is read by Lark's LALR(1) parser: no calls, no attributes, no arithmetic, so there is nothing to escape
from and nothing that takes long. Libraries that evaluate were tried on hostile input (November 2026): rule-engine 5.1
ran on and on with `name =~ '(a+)+$'` and ended deep nesting in RecursionError; simpleeval 1.0.8 lets SyntaxError,
RecursionError and TypeError of Python itself through; both fail on a value that is missing.

A missing or void value is neither above nor below anything: what depends on it is unknown, as NULL in SQL, also under
`not`; and a row whose answer is unknown does not match.
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

LONGEST = 1000  # characters; so that what it is made into is nested at most this deep
SHOWN = 60  # characters of what was asked, in an error
EXAMPLE = "map > 80 and p50_ms < 5"
BARE = re.compile(r"""([a-z_]\w*)\s*(==|!=)\s*([^\s'"()<>=!]+)""", re.IGNORECASE)  # a column, and what may be a text
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

Answer = bool | None  # none: unknown
Question = Callable[[Row], Answer]


@dataclass(frozen=True)
class _Value:
    kind: Kind
    said: str
    of: Callable[[Row], Any]


@v_args(inline=True)
class _Questions(Transformer[Token, Question]):
    """From what was read to a function of a row; kinds are checked before any row is there."""

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
            raise CompareError(f"{column.said} is a {column.kind} and no yes or no: compare it with something.")
        return column.of

    def compared(self, left: _Value, sign: Token, right: _Value) -> Question:
        if left.kind != right.kind:
            raise CompareError(
                f"{left.said} is a {left.kind} and {right.said} a {right.kind}: {sign} can't compare them."
            )
        if left.kind != "number" and sign not in ("==", "!="):
            raise CompareError(f"{left.said} is a {left.kind}: it can be == or !=, not {sign}.")
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
    """What to write where a text stands without its quotes; empty where none does."""
    for column, sign, word in BARE.findall(expression):
        if column in COLUMNS and COLUMNS[column].kind == "text" and word not in COLUMNS:
            return f"A text needs quotes: {column} {sign} '{word[:SHOWN]}'"
    return ""


@cache
def _parser() -> Lark:
    return Lark(GRAMMAR, start="either", parser="lalr", transformer=_Questions())


def read_question(expression: str) -> Question:
    """A function that tells whether a row matches: yes, no, or unknown (none).

    Raises:
        CompareError: it can't be read, names a column that is none, or compares what does not compare.
    """
    if len(expression) > LONGEST:
        raise CompareError(f"a search of {len(expression)} characters: it has at most {LONGEST}. Say less at once.")
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
            raise CompareError(f"the search can't be read {where}. {quotes}") from None
        raise CompareError(
            f"the search can't be read {where}. It compares columns, such as: {EXAMPLE}. There are < <= > >= == != "
            "and or not ( ), and nothing to calculate or call."
        ) from None


@dataclass(frozen=True)
class Matches:
    """What matches, and a line on how much was looked at."""

    comparison: Comparison
    told: str


def found(comparison: Comparison, question: Question, sort: str | None, all_precisions: bool) -> Matches:
    """Rows that match, in tables of one protocol each.

    Args:
        sort: a column; left out: by release.
        all_precisions: also rows that do not ship.

    Raises:
        CompareError: there is no such column.
    """
    rows = [row for row in comparison.rows if all_precisions or row["ships"]]
    answered = [(row, question(row)) for row in rows]
    kept = [row for row, answer in answered if answer]
    unknown = sum(answer is None for _, answer in answered)
    told = f"{len(kept)} of {len(rows)} match"
    told += f"; {unknown} can't be judged: a value is missing or void" if unknown else ""
    beside = Counter(row["kind"] for row in (*comparison.estimated, *comparison.pending, *comparison.broken))
    told += f"; not measured: {', '.join(f'{n} {kind}' for kind, n in beside.items())}" if beside else ""
    return Matches(Comparison(grouped(by_column(kept, sort) if sort else kept)), told)
