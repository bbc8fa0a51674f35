"""What the exit code of every command says."""

from __future__ import annotations

from collections.abc import Mapping

MEND, USAGE, LOST, FOUND, INTERRUPTED, UNHEARD = 1, 2, 3, 4, 130, 141
MEANINGS: Mapping[int, str] = {
    0: "done",
    MEND: "something to mend, said in a line or two on standard error",
    USAGE: "wrong usage",
    LOST: "another process of the build ended",
    FOUND: "it found what it was to look for: regressions (`zoo diff`), damage or other figures (`zoo verify`)",
    INTERRUPTED: "interrupted",
    UNHEARD: "nobody read its output any more (`| head`); what was finished is kept",
}
