"""Ports: is one free, and who says so in one sentence."""

from __future__ import annotations

import socket

from config.settings import SettingsError


def is_free(host: str, port: int) -> bool:
    """Whether nobody listens on ``port``. Asked without SO_REUSEPORT, which would let two servers share it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def check_free(host: str, port: int, way_out: str) -> None:
    """Raise SettingsError naming the port when it is taken."""
    if not is_free(host, port):
        raise SettingsError(f"port {port} on {host} is taken by another program; {way_out}")
