"""Checks of both directions to WeCom: calls need a token, callbacks need a reachable address."""

from __future__ import annotations

import secrets
import time
from urllib.parse import urlencode

import requests

from config.settings import Settings
from scrm.cli.doctor.finding import Finding
from scrm.cli.doctor.refusals import refused
from scrm.wecom.client import gateway
from scrm.wecom.errors import WecomError
from wecom_callbacks.crypto import CallbackCrypto

ECHO_SECONDS = 1.0  # WeCom's own deadline for the echo (wecom-api.md §2.2)


def tokens(settings: Settings) -> list[Finding]:
    """Each app can get an access token."""
    if not settings.apps:
        return [Finding("WeCom", True, "no app is configured; `scrm up` brings a simulated WeCom")]
    return [_token(name) for name in settings.apps]


def _token(app: str) -> Finding:
    check = f"WeCom token of app {app}"
    try:
        gateway().of_app(app).tokens.get()
    except WecomError as error:
        return refused(check, app, None, error)
    return Finding(check, True, "obtained")


def callbacks(settings: Settings) -> list[Finding]:
    """Each app's callback address answers the echo test that WeCom makes when an address is saved."""
    base = settings.web.public_url or f"http://{settings.web.host}:{settings.web.port}"
    return [_echo(settings, name, f"{base.rstrip('/')}/wecom/callbacks/{name}") for name in settings.apps]


def echo_address(settings: Settings, app: str, address: str, word: bytes) -> str:
    """``address`` with the query of a genuine echo test for ``word``."""
    keys = settings.apps[app]
    crypto = CallbackCrypto(keys.token.get_secret_value(), keys.aes_key.get_secret_value(), settings.corp.id)
    sealed, stamp, nonce = crypto.encrypt(word), str(int(time.time())), secrets.token_hex(8)
    signature = crypto.signature(stamp.encode(), nonce.encode(), sealed).decode()
    query = {"msg_signature": signature, "timestamp": stamp, "nonce": nonce, "echostr": sealed.decode()}
    return f"{address}?{urlencode(query)}"


def _echo(settings: Settings, app: str, address: str) -> Finding:
    check, word = f"callback address of app {app}", secrets.token_hex(8)
    started = time.monotonic()
    try:
        answer = requests.get(
            echo_address(settings, app, address, word.encode()), timeout=5, allow_redirects=False
        )
    except requests.RequestException as error:
        detail = f"{address}: {type(error).__name__}"
        return Finding(check, False, detail, "start `scrm web`, or mend web.public_url, proxy and firewall")
    seconds = time.monotonic() - started
    if answer.status_code != requests.codes.ok or answer.text != word:
        detail = f"{address}: {answer.status_code} {answer.text[:80]!r}"
        return Finding(
            check,
            False,
            detail,
            "the address must lead to `scrm web` with the same token, aes_key and corp.id",
        )
    well = seconds < ECHO_SECONDS
    way_out = "" if well else "WeCom waits 1 s only; look at the load of this machine and the way to it"
    return Finding(check, well, f"{address} answered in {seconds * 1000:.0f} ms", way_out)
