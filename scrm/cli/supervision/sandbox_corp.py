"""The simulated corp of one folder: invented once, with secrets of its own, and told to both sides."""

from __future__ import annotations

import secrets
import string
from typing import Any

import orjson

from scrm.cli.supervision.folder import Folder, write_private
from scrm.sandbox.config import ConfigError, SandboxConfig

AES_KEY_LENGTH = 43  # wecom-api.md §2.1
SECRET_LENGTH = 43
TOKEN_LENGTH = 24
APP = "main"
AGENT_ID = 1000002
LETTERS = string.ascii_letters + string.digits


def sandbox_corp(folder: Folder, callback_base: str, limits: dict[str, float]) -> dict[str, Any]:
    """The sandbox's configuration, kept as ``sandbox.json`` (0600) in ``folder``; made when there is none.

    :param callback_base: address at which the simulated WeCom reaches our callbacks
    :param limits: figures of :mod:`scrm.sandbox.limits_config` that differ from the usual ones
    """
    path = folder.path / "sandbox.json"
    corp = _kept(folder) or _invented()
    corp["apps"][0]["callback_url"] = f"{callback_base.rstrip('/')}/wecom/callbacks/{APP}"
    if limits:
        corp["limits"] = limits
    write_private(path, orjson.dumps(corp, option=orjson.OPT_INDENT_2))
    return corp


def environment_for(corp: dict[str, Any], base_url: str) -> dict[str, str]:
    """The ``SCRM_*`` variables that make our processes talk to this corp."""
    app = corp["apps"][0]
    prefix = f"SCRM_APPS__{APP.upper()}__"
    return {
        "SCRM_CORP__ID": corp["corp_id"],
        "SCRM_WECOM__BASE_URL": base_url,
        f"{prefix}AGENT_ID": str(app["agentid"]),
        f"{prefix}SECRET": app["secret"],
        f"{prefix}TOKEN": app["token"],
        f"{prefix}AES_KEY": app["aes_key"],
    }


def _kept(folder: Folder) -> dict[str, Any] | None:
    try:
        data = (folder.path / "sandbox.json").read_bytes()
        SandboxConfig.from_bytes(data)
    except (OSError, ConfigError):
        return None
    corp: dict[str, Any] = orjson.loads(data)
    return corp


def _invented() -> dict[str, Any]:
    app = {
        "name": APP,
        "agentid": AGENT_ID,
        "secret": _random(SECRET_LENGTH),
        "token": _random(TOKEN_LENGTH),
        "aes_key": _aes_key(),
    }
    return {"corp_id": "ww" + secrets.token_hex(8), "apps": [app], "seed": secrets.randbelow(1_000_000)}


def _random(length: int) -> str:
    # A letter first: an environment variable that looks like a number would be read as one.
    return secrets.choice(string.ascii_letters) + "".join(secrets.choice(LETTERS) for _ in range(length - 1))


def _aes_key() -> str:
    # 43 characters of base64 carry 258 bits for a 256-bit key, so the last one must end in two zero bits.
    return _random(AES_KEY_LENGTH - 1) + secrets.choice("AEIMQUYcgkosw048")
