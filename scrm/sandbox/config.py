"""What the simulated WeCom is told at start: one corp, its apps, its limits and its seed."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import orjson

from scrm.sandbox.defaults import (
    DEFAULT_AES_KEY,
    DEFAULT_AGENT_ID,
    DEFAULT_APP_NAME,
    DEFAULT_APP_SECRET,
    DEFAULT_CALLBACK_TOKEN,
    DEFAULT_CORP_ID,
    DEFAULT_FEATURES,
)
from scrm.sandbox.limits_config import Limits

if TYPE_CHECKING:
    from pathlib import Path

Json = dict[str, Any]
AES_KEY_LENGTH = 43  # wecom-api.md §2.1


class ConfigError(ValueError):
    """The configuration cannot be used; the message is one sentence for the person who wrote it."""


@dataclass(frozen=True, slots=True)
class AppConfig:
    """One self-built app of the corp: its secret, its callback keys and what it may see."""

    name: str
    agentid: int
    secret: str
    token: str
    aes_key: str
    callback_url: str | None = None
    features: frozenset[str] = DEFAULT_FEATURES
    trusted_ips: frozenset[str] | None = None
    visible: frozenset[str] | None = None
    system: bool = False

    @classmethod
    def from_json(cls, raw: Json) -> AppConfig:
        """Read one entry of `apps`; raise ConfigError naming the key that is wrong."""
        _refuse_unknown(raw, {item.name for item in fields(cls)}, "app")
        for key in ("name", "secret", "token", "aes_key"):
            if not isinstance(raw.get(key), str) or not raw[key]:
                msg = f"app: {key} must be a non-empty string"
                raise ConfigError(msg)
        if len(raw["aes_key"]) != AES_KEY_LENGTH:
            msg = f"app {raw['name']}: aes_key must be {AES_KEY_LENGTH} characters"
            raise ConfigError(msg)
        known = dict(raw)
        for key in ("features", "trusted_ips", "visible"):
            if known.get(key) is not None:
                known[key] = frozenset(known[key])
        if known.get("features") is None:
            known.pop("features", None)
        return cls(**known)


def default_app() -> AppConfig:
    """The app every example uses, with the published constants of `defaults.py`."""
    return AppConfig(
        name=DEFAULT_APP_NAME,
        agentid=DEFAULT_AGENT_ID,
        secret=DEFAULT_APP_SECRET,
        token=DEFAULT_CALLBACK_TOKEN,
        aes_key=DEFAULT_AES_KEY,
    )


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """Everything that makes two sandboxes the same: equal configs give equal populations and ids."""

    corp_id: str = DEFAULT_CORP_ID
    apps: tuple[AppConfig, ...] = field(default_factory=lambda: (default_app(),))
    seed: int = 7
    limits: Limits = field(default_factory=Limits)
    callbacks_for_api_writes: bool = False
    clock_start: int | None = None

    @classmethod
    def from_json(cls, raw: Json) -> SandboxConfig:
        """Read the configuration file's object; raise ConfigError on the first thing wrong."""
        _refuse_unknown(raw, {item.name for item in fields(cls)}, "configuration")
        known = dict(raw)
        if "apps" in known:
            known["apps"] = tuple(AppConfig.from_json(item) for item in known["apps"])
        if "limits" in known:
            known["limits"] = Limits().changed(known["limits"])
        return cls(**known)

    @classmethod
    def from_bytes(cls, data: bytes) -> SandboxConfig:
        """Read configuration JSON; raise ConfigError when it is not a JSON object."""
        try:
            raw = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            msg = f"the configuration is not JSON: {error}"
            raise ConfigError(msg) from error
        if not isinstance(raw, dict):
            msg = "the configuration must be a JSON object"
            raise ConfigError(msg)
        try:
            return cls.from_json(raw)
        except (TypeError, ValueError) as error:
            raise ConfigError(str(error)) from error

    @classmethod
    def from_file(cls, path: Path) -> SandboxConfig:
        """Read a configuration file; OSError when it cannot be read, ConfigError when it is wrong."""
        return cls.from_bytes(path.read_bytes())


def _refuse_unknown(raw: Json, known: set[str], what: str) -> None:
    for key in raw:
        if key not in known:
            msg = f"{what}: unknown key {key!r}; known: {', '.join(sorted(known))}"
            raise ConfigError(msg)
