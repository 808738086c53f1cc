"""Settings of outgoing webhooks (docs/webhooks.md)."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated

from pydantic import Field, SecretStr, field_validator

from config.section import Section

PROXY = re.compile(r"http://([^\s/@:]+(:[^\s/@:]*)?@)?([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\]):[0-9]{1,5}/?")
Port = Annotated[int, Field(ge=1, le=65535)]


class Webhooks(Section):
    """How events go out to other systems, and where they may go."""

    concurrency: int = Field(ge=1, le=256)
    share: int = Field(ge=1)
    connect_timeout_seconds: float = Field(gt=0)
    timeout_seconds: float = Field(gt=0, le=40)  # a lease of 60 seconds outlives the slowest answer
    disable_days: float = Field(gt=0)
    rotation_hours: int = Field(ge=0, le=168)
    retention_days: int = Field(ge=7)  # the last retry is three days after the event
    allowed_networks: tuple[IPv4Network | IPv6Network, ...]
    allowed_ports: tuple[Port, ...]
    ca_file: str
    proxy: SecretStr  # it may hold a password
    secret_key: SecretStr

    @field_validator("proxy")
    @classmethod
    def _is_a_proxy(cls, given: SecretStr) -> SecretStr:
        if given.get_secret_value() and not PROXY.fullmatch(given.get_secret_value()):
            raise ValueError(
                "must be http://host:port or http://user:password@host:port; the password %-encoded"
            )
        return given
