"""HTML from templates/. Every value is escaped: texts of strangers end as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.site.trial import in_script

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data: blob:",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "require-trusted-types-for": "'script'",
}
# The student runs in a worker, whose address network.js declares as trusted.
WITH_WEBASSEMBLY = {
    **POLICY,
    "script-src": "'self' 'wasm-unsafe-eval'",
    "worker-src": "'self'",
    "trusted-types": "zoo-network",
}


def policy(webassembly: bool) -> str:
    """The Content-Security-Policy of a page."""
    return "; ".join(f"{key} {value}" for key, value in (WITH_WEBASSEMBLY if webassembly else POLICY).items())


def _grouped(value: float, digits: int = 0) -> str:
    return f"{value:,.{digits}f}".replace(",", " ")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"grouped": _grouped}
    return made


def page(template: str, root: str, values: Mapping[str, Any], settings: Any = None, scripts: Sequence[str] = ()) -> str:
    """A page.

    Args:
        root: path from the page to the site: empty, or `../`.
        settings: JSON that a script of the page reads; a page with settings may run WebAssembly.
        scripts: files of the site, in order.
    """
    from markupsafe import Markup

    told = None if settings is None else Markup(in_script(settings))
    common = {"root": root, "policy": policy(settings is not None), "settings": told, "scripts": scripts}
    return _environment().get_template(template).render({**common, **values})
