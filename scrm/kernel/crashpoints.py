"""Places where fault tests let a process die or freeze, as if the power went or the machine slept."""

from __future__ import annotations

import os
import signal

_crash_at = os.environ.get("SCRM_CRASH_AT")
_stop_at = os.environ.get("SCRM_STOP_AT")


def reached(name: str) -> None:
    """SIGKILL this process when ``SCRM_CRASH_AT`` names this place, SIGSTOP it when ``SCRM_STOP_AT`` does; else nothing."""
    if _crash_at == name:
        os.kill(os.getpid(), signal.SIGKILL)
    if _stop_at == name:
        os.kill(os.getpid(), signal.SIGSTOP)
