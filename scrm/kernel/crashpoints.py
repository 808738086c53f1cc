"""Places where fault tests let a process die, as if the power went (``SCRM_CRASH_AT=<name>``)."""

from __future__ import annotations

import os
import signal

VARIABLE = "SCRM_CRASH_AT"
_crash_at = os.environ.get(VARIABLE)


def reached(name: str) -> None:
    """Kill this process (SIGKILL) when it was started with ``SCRM_CRASH_AT`` naming this place; else nothing."""
    if _crash_at == name:
        os.kill(os.getpid(), signal.SIGKILL)
