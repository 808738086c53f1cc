"""A process that ends when its parent ends, even by SIGKILL (Linux: ``prctl(PR_SET_PDEATHSIG)``)."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def end_with_parent(how: signal.Signals = signal.SIGTERM) -> None:
    """Ask the kernel to send ``how`` to this process when the thread that started it ends.

    Elsewhere than on Linux nothing happens; the next `scrm up` cleans up by its list of processes.
    """
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, int(how), 0, 0, 0)
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid != os.getppid():  # it died before the tie was made
        os._exit(1)


def tied_to_parent(how: signal.Signals = signal.SIGTERM) -> Callable[[], None]:
    """A ``preexec_fn`` for programs that are not ours. Start them from the main thread: the tie is to the thread."""
    parent = os.getpid()

    def before_exec() -> None:
        end_with_parent(how)
        if os.getppid() != parent:  # it died between fork and prctl
            os._exit(1)

    return before_exec
