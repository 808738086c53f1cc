"""Tables of the kernel: API keys, idempotency, the schedule's memory."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Mapped, mapped_column

from scrm.kernel.db import CreatedAt, Id, Model


class ApiKey(Model):
    """A bearer token for the API. Only its hash is kept; the token itself is shown once."""

    __tablename__ = "api_keys"

    id: Mapped[Id]
    name: Mapped[str]
    prefix: Mapped[str] = mapped_column(unique=True)  # the visible part of the token
    secret_hash: Mapped[bytes]
    permissions: Mapped[list[str]]
    staff_ids: Mapped[list[int] | None]  # data scope; empty column: everybody's customers
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]


class IdempotencyKey(Model):
    """The answer to a creating request, kept so that its repetition gets the same answer and does nothing."""

    __tablename__ = "idempotency_keys"

    actor: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[bytes]  # sha256 of method, path and body
    status: Mapped[int | None]
    answer: Mapped[dict[str, Any] | None]
    created_at: Mapped[CreatedAt]


class ScheduleRun(Model):
    """When a scheduled job was last woken, so that a missed daily job is caught up once."""

    __tablename__ = "schedule_runs"

    name: Mapped[str] = mapped_column(primary_key=True)
    woken_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]  # earlier than woken_at: the wake-up was lost or the job failed
    place: Mapped[int] = mapped_column(default=0, server_default=text("0"))  # scrm.kernel.turns


class SigninLink(Model):
    """A one-time link that signs a browser in; only the token's hash is kept."""

    __tablename__ = "signin_links"

    digest: Mapped[bytes] = mapped_column(primary_key=True)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]


class DetachedMonth(Model):
    """A month of a partitioned table that was detached: its rows are in a table of their own and count no more."""

    __tablename__ = "detached_months"

    table_name: Mapped[str] = mapped_column(primary_key=True)
    begins_at: Mapped[datetime] = mapped_column(primary_key=True)
    ends_at: Mapped[datetime]  # not within
    settled_at: Mapped[datetime | None]  # figures kept beside the table are put right
    detached_at: Mapped[CreatedAt]
