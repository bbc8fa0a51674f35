"""SIGTERM and SIGHUP end a command as Ctrl-C does: what it began to write is removed, and finished work is kept.

By themselves they end a process at once, and leave temporary files and folders beside its output. Supervisors,
schedulers and `timeout` send the first, a terminal that is closed the second.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))  # Windows lacks one
AGAIN_SECONDS = 1.0  # `timeout` sends a signal twice; one that comes later interrupts what cleans up


@contextmanager
def ending_as_by_ctrl_c() -> Iterator[None]:
    """Raise KeyboardInterrupt in this thread on these signals.

    Not where somebody else decides about them: if they are ignored, as by nohup, or handled already; outside of the
    main thread; and not in a process that torch's launcher started and ends by SIGTERM, whose own error counts.
    """
    alone = "LOCAL_RANK" not in os.environ  # which torch's launcher sets
    ours = alone and threading.current_thread() is threading.main_thread()
    chosen = [one for one in SIGNALS if ours and signal.getsignal(one) is signal.SIG_DFL]
    process, last = os.getpid(), -AGAIN_SECONDS

    def end(number: int, _: FrameType | None) -> None:
        nonlocal last
        if os.getpid() != process:  # a fork, which does not clean up
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        if time.monotonic() - last > AGAIN_SECONDS:
            last = time.monotonic()
            raise KeyboardInterrupt

    for one in chosen:
        signal.signal(one, end)
    try:
        yield
    finally:
        for one in chosen:
            signal.signal(one, signal.SIG_DFL)
