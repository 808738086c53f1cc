"""What every table of the configuration file derives from."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A table of the configuration file; unknown keys are refused so that a typing error is seen."""

    model_config = ConfigDict(extra="forbid", frozen=True)
