"""URL verification when a callback address is configured (wecom-api.md §2.4)."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

from scrm.sandbox.callbacks.delivery import Sealer
from scrm.sandbox.callbacks.wire import Connection, Target
from scrm.sandbox.errors import ControlError

if TYPE_CHECKING:
    from scrm.sandbox.config import AppConfig

ECHO_SECONDS = 1.0  # §2.4
OK = 200


def verify_callback(app: AppConfig, corp_id: str, url: str) -> None:
    """GET the address with an encrypted echo; ControlError saying what was wrong with the answer."""
    text = str(random.randrange(10**18, 10**19))
    sealer = Sealer(app, corp_id)
    encrypted = sealer.echo(text)
    query = f"{sealer.query(encrypted, int(time.time()))}&echostr={quote(encrypted, safe='')}"
    status, answer = _get(url, query)
    if status != OK or answer != text.encode():
        raise ControlError(
            f"{url} failed the echo test (40057): status {status}, answered {answer[:80]!r}", 422
        )


def _get(url: str, query: str) -> tuple[int, bytes]:
    try:
        target = Target.of(url)
    except ValueError as error:
        raise ControlError(str(error)) from error
    connection = Connection(target.host, target.port)
    try:
        return connection.send(target.request("GET", query, b""), ECHO_SECONDS)
    except (OSError, ValueError) as error:
        raise ControlError(f"{url} failed the echo test (40057): {error}", 422) from error
    finally:
        connection.close()
