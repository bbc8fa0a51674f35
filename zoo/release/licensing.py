"""Whether a release may be used under licenses that its user accepts: `--license apache-2.0,mit`.

The weights are what one uses: their SPDX expression must be satisfied by accepted licenses alone (`A OR B` by either,
`A AND B` by both, `A WITH E` by A, since an exception only adds permissions). The training images are not part of a
release, but some are given only for research or only for non-commercial use, and then nobody knows whether a network
trained on them may be used otherwise. So their license must be one of the accepted, or one that allows use, change and
distribution for any purpose. What is not stated, or stated in other words than SPDX's, permits nothing that a program
could know of.

Source: SPDX specification 3.0, "SPDX license expressions"; license-expression, whose list has the category of each
license. This is a filter, not legal advice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from zoo.catalogue.problems import did_you_mean
from zoo.errors import LicenseError
from zoo.release.manifest import Manifest
from zoo.sanitize import one_line

OPEN = ("Permissive", "Public Domain", "Copyleft", "Copyleft Limited")  # categories that allow any purpose
OWN_LICENSE = re.compile(r"LicenseRef-[A-Za-z0-9.-]+")
SHOWN = 80  # characters of a license in an error


def stated(terms: str) -> str | None:
    """A license without surrounding spaces; None if it is not stated."""
    text = terms.strip()
    return None if text in ("", "not stated") else text


def unstated_line(manifest: Manifest) -> str:
    """Which licenses a release does not state, and how its next version can; empty if it states all."""
    foreign = manifest.foreign is not None
    ways = {
        "weights": "--license" if foreign else "`license` of the model in zoo.yaml, or --set license=SPDX",
        "data": "--data-license" if foreign else "`license` of the data set in zoo.yaml",
    }
    parts = [part for part, terms in manifest.licenses if stated(terms) is None]
    how = "; ".join(ways[part] for part in parts if part in ways)
    told = (
        f"license not stated: {', '.join(parts)}. Without one, it may not be used. State it in its next version: {how}"
    )
    return told if parts else ""


@cache
def _spdx() -> Any:
    from license_expression import get_spdx_licensing

    return get_spdx_licensing()


@cache
def _categories() -> dict[str, str]:
    from license_expression import get_license_index

    return {
        one["spdx_license_key"]: str(one.get("category"))
        for one in get_license_index()
        if one.get("spdx_license_key") and not one["is_exception"]
    }


def _parsed(terms: str) -> Any:
    """The tree of an SPDX expression; None if it is none."""
    from license_expression import ExpressionError

    try:
        return _spdx().parse(terms, validate=True, strict=True)
    except (ExpressionError, TypeError):
        return None


def _base(symbol: Any) -> str:
    """A license's identifier, without its exception."""
    return str(getattr(symbol, "license_symbol", symbol).key)


def checked_expression(terms: str) -> str:
    """A license that `zoo add` was given, with identifiers as SPDX writes them.

    Raises:
        LicenseError: it is no SPDX expression. `LicenseRef-NAME` stands for a license that is not on SPDX's list.
    """
    text = terms.strip()
    if OWN_LICENSE.fullmatch(text):
        return text
    node = _parsed(text) if stated(text) else None
    if node is None:
        raise LicenseError(
            f"--license {one_line(text)[:SHOWN]!r} is no SPDX expression. Write one, as in: MIT, or Apache-2.0 AND "
            "MIT; LicenseRef-NAME stands for a license that is not on SPDX's list."
        )
    return str(node)


@dataclass(frozen=True)
class Accepted:
    """Licenses that a user accepts, as identifiers of SPDX's list."""

    ids: frozenset[str]

    def __str__(self) -> str:
        return " or ".join(sorted(self.ids))

    def _has(self, symbol: Any) -> bool:
        name = _base(symbol)
        older = {name, name.replace("-or-later", "-only")} if name.endswith("-or-later") else {name}
        return bool(older & self.ids)

    def _satisfy(self, node: Any, also_open: bool) -> bool:
        """Whether the accepted licenses, and open ones if `also_open`, satisfy an expression."""
        licensing = _spdx()
        if isinstance(node, licensing.OR):
            return any(self._satisfy(one, also_open) for one in node.args)
        if isinstance(node, licensing.AND):
            return all(self._satisfy(one, also_open) for one in node.args)
        return self._has(node) or (also_open and _categories().get(_base(node)) in OPEN)

    def _against(self, what: str, terms: str, also_open: bool) -> Iterator[str]:
        text = stated(terms)
        if text is None:
            yield f"the license of its {what} is not stated"
            return
        shown, node = one_line(text)[:SHOWN], _parsed(text)
        if node is None:
            yield f"its {what} are under {shown!r}, which is no SPDX expression"
        elif not self._satisfy(node, also_open):
            yield f"its {what} are under {shown}" + ", which restricts use" * also_open

    def objection(self, weights: str, data: str) -> str | None:
        """Why a release may not be used under the accepted licenses; None if it may.

        Args:
            weights: license of the weights.
            data: license of the training images.
        """
        found = [*self._against("weights", weights, False), *self._against("training images", data, True)]
        return ", and ".join(found) or None

    def objection_to(self, manifest: Manifest) -> str | None:
        """Why a release may not be used under the accepted licenses, or a release that its training started from."""
        found = [self.objection(manifest.licenses.weights, manifest.licenses.data)]
        for one in manifest.ancestors:
            if why := self.objection(one.licenses.weights, one.licenses.data):
                found.append(f"{one.label}, which its training started from: {why}")
        return "; ".join(why for why in found if why) or None

    def check(self, manifest: Manifest) -> None:
        """Refuse a release that may not be used under the accepted licenses.

        Raises:
            LicenseError: it may not; the message says why.
        """
        if why := self.objection_to(manifest):
            raise LicenseError(
                f"{manifest.label} does not fit --license {','.join(sorted(self.ids))}: {why}. Choose another release, "
                "or, if you may use it on other grounds, add its license to --license or leave the option out."
            )


def accepted(words: Iterable[str]) -> Accepted | None:
    """Licenses of `--license`, each a list of SPDX identifiers with commas; None if there are none.

    Raises:
        LicenseError: one is not on SPDX's list.
    """
    ids = set[str]()
    for word in (part.strip() for one in words for part in one.split(",")):
        node = _parsed(word)
        if node is None or not hasattr(node, "key"):
            near = did_you_mean(word.casefold(), [name.casefold() for name in _categories()])
            hint = f" {near}" if near.startswith("Did") else ""
            raise LicenseError(
                f"--license {one_line(word)[:SHOWN]!r} is no license of SPDX's list.{hint} Write identifiers with "
                "commas, as in: apache-2.0,mit"
            )
        ids.add(_base(node))
    return Accepted(frozenset(ids)) if ids else None
