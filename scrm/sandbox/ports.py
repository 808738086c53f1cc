"""Free ports for a short-lived company: a demo, a test, a bench."""

from __future__ import annotations

import random
import socket

BELOW_EPHEMERAL = range(20_000, 32_000)
"""The kernel gives 32768 and above to outgoing connections (Linux' ip_local_port_range): one of those would be taken
by somebody's next connection as easily as by us."""


def free_port(together: int = 1) -> int:
    """A port of this machine where nobody listens now, nor on the ``together`` - 1 ports after it.

    Drawn at random, so that processes asking at the same moment are not told the same one.
    """
    drawn = random.SystemRandom()
    while True:
        port = drawn.choice(BELOW_EPHEMERAL)
        if all(_is_free(port + after) for after in range(together)):
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
