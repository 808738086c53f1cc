"""Settings of outgoing webhooks (docs/webhooks.md)."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import Annotated

from pydantic import Field, SecretStr

from config.section import Section

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
    secret_key: SecretStr
