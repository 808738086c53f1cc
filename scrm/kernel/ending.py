"""Whether this process was asked to end: what may wait until another process does it is left to that one."""

from __future__ import annotations

import threading

asked = threading.Event()
"""Set by a worker that got SIGTERM or SIGINT; never in a process that is no worker."""
