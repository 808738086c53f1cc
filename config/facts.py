"""Settings of people and the facts about them (docs/adr/0012)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr, StringConstraints

from config.section import Section


class Rules(Section):
    """How far tag rules may reach before a person is asked, and how long a look may take."""

    storm_share: float = Field(gt=0, le=1)
    storm_min: int = Field(ge=1)
    look_seconds: float = Field(gt=0)
    preview_seconds: float = Field(gt=0)


class People(Section):
    """Who is one person, and which of several values is shown."""

    region: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
    blocked: tuple[Annotated[str, StringConstraints(pattern=r"^[a-z_]+:.+$")], ...]
    shared_by: int = Field(ge=1)
    most_values: int = Field(ge=1)
    trusted_sources: tuple[str, ...]


class Source(Section):
    """A system that sends signed batches instead of using an API key."""

    secrets: tuple[SecretStr, ...] = Field(min_length=1, max_length=5)
