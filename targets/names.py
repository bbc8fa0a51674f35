"""Names of models, targets and releases. They become folders and files on any system."""

from __future__ import annotations

import re

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
RELEASE = re.compile(NAME.pattern + r"@(0|[1-9][0-9]{0,8})(\.(0|[1-9][0-9]{0,8})){2}")
