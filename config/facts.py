"""Settings of people and the facts about them (docs/adr/0012)."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, StringConstraints

from config.section import Section

STANDARD_SECRET = re.compile(r"whsec_[A-Za-z0-9+/]{32,86}={0,2}")  # 24 to 64 bytes in base64


def _standard_secret(value: SecretStr) -> SecretStr:
    if not STANDARD_SECRET.fullmatch(value.get_secret_value()):
        raise ValueError("must be whsec_ and 24 to 64 bytes in base64 (Standard Webhooks)")
    return value


class Rules(Section):
    """How far tag rules may reach before a person is asked, and how long a look may take."""

    storm_share: float = Field(gt=0, le=1)
    storm_min: int = Field(ge=1)
    look_seconds: float = Field(gt=0)
    preview_seconds: float = Field(gt=0)


class Sets(Section):
    """How fresh sets of customers are, and what room they may take."""

    staleness_seconds: float = Field(gt=0)
    memory_megabytes: int = Field(ge=1)
    redis_megabytes: int = Field(ge=1)
    kept_minutes: float = Field(gt=0)
    checked_per_hour: int = Field(ge=0)


class Columns(Section):
    """The copy in columns of what people did and bought: where, from how many rows on, and what it may take."""

    enabled: bool
    folder: str
    least_rows: int = Field(ge=0)
    memory_megabytes: int = Field(ge=32)
    threads: int = Field(ge=1)
    refresh_share: float = Field(gt=0, le=1)
    kept_minutes: float = Field(gt=0)


class Audiences(Section):
    """How long files of audiences are kept, and how large a copy onto a list is made while somebody waits."""

    export_days: int = Field(ge=1, le=90)
    fill_at_once: int = Field(ge=0, le=100_000)


class People(Section):
    """Who is one person, and which of several values is shown."""

    region: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
    blocked: tuple[Annotated[str, StringConstraints(pattern=r"^[a-z_]+:.+$")], ...]
    shared_by: int = Field(ge=1)
    most_values: int = Field(ge=1)
    trusted_sources: tuple[str, ...]


class Imports(Section):
    """Tables that people upload."""

    max_megabytes: int = Field(ge=1, le=1000)
    keep_days: int = Field(ge=1)
    storm_share: float = Field(gt=0, le=1)
    storm_min: int = Field(ge=1)


class Source(Section):
    """A system that sends signed batches instead of using an API key."""

    secrets: tuple[Annotated[SecretStr, AfterValidator(_standard_secret)], ...] = Field(
        min_length=1, max_length=5
    )
