"""Meaning of the exit codes of every command."""

from __future__ import annotations

from collections.abc import Mapping

MEND, USAGE, LOST, FOUND, INTERRUPTED, UNHEARD = 1, 2, 3, 4, 130, 141
MEANINGS: Mapping[int, str] = {
    0: "done",
    MEND: "an error that you can fix, explained in a line or two on standard error",
    USAGE: "wrong usage",
    LOST: "another process of the build ended",
    FOUND: "the check found something: regressions (`zoo diff`), damage or deviating figures (`zoo verify`), other "
    "embeddings (`zoo check`)",
    INTERRUPTED: "interrupted, by Ctrl-C, SIGTERM or SIGHUP",
    UNHEARD: "its output was closed (`| head`); finished work is kept",
}
