"""Opening a connection to a checked address: directly, or through the proxy that leads out of this network.

The proxy is told the address, never the name: what was checked is where the connection goes, whatever the proxy's own DNS
says. The receiver's certificate is checked end to end, so the proxy reads nothing.
"""

from __future__ import annotations

import base64
import socket
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

MOST_HEAD = 8192  # bytes of what a proxy answers before the tunnel begins


class ProxyRefused(OSError):  # noqa: N818  # reads as a statement where it is raised
    """The proxy did not open the way; the message says what it answered."""


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy that lets ``CONNECT`` through.

    :param authorization: the value of Proxy-Authorization; None: it asks for none
    """

    host: str
    port: int
    authorization: str | None = None

    @classmethod
    def of(cls, url: str) -> Proxy | None:
        """Of ``http://user:password@host:port`` as configured; None when there is none."""
        if not url:
            return None
        parts = urlsplit(url)
        known = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else None
        told = f"Basic {base64.b64encode(known.encode()).decode()}" if known else None
        return cls(parts.hostname or "", parts.port or 80, told)


def dial(address: str, port: int, proxy: Proxy | None, left: Callable[[], float]) -> socket.socket:
    """A connection to this address; raises OSError.

    :param left: seconds that may still be spent; raises TimeoutError when there are none
    """
    opened = socket.create_connection((proxy.host, proxy.port) if proxy else (address, port), left())
    try:
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if proxy:
            _ask_for_way(
                opened, proxy, f"[{address}]:{port}" if ":" in address else f"{address}:{port}", left
            )
    except BaseException:
        opened.close()
        raise
    return opened


def _ask_for_way(opened: socket.socket, proxy: Proxy, where: str, left: Callable[[], float]) -> None:
    """``CONNECT`` (RFC 9110 section 9.3.6)."""
    lines = [f"CONNECT {where} HTTP/1.1", f"Host: {where}"]
    lines += [f"Proxy-Authorization: {proxy.authorization}"] if proxy.authorization else []
    opened.sendall("\r\n".join([*lines, "", ""]).encode())
    head = b""
    while b"\r\n\r\n" not in head:
        opened.settimeout(left())
        more = opened.recv(MOST_HEAD - len(head))
        if not more:
            raise ProxyRefused("the proxy ended the connection")
        head += more
    said = head.split(b"\r\n", 1)[0].split(b" ", 2)
    status = said[1].decode(errors="replace") if len(said) > 1 else ""
    if not (said[0].startswith(b"HTTP/1.") and len(status) == len("200") and status.startswith("2")):
        raise ProxyRefused(f"the proxy answered {status[:3] or 'nonsense'}")
    if head.index(b"\r\n\r\n") + 4 < len(head):
        raise ProxyRefused("the proxy said more than it may")
