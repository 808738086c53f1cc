"""Secrets of endpoints: made here, shown once, sealed in the database, opened only to sign."""

from __future__ import annotations

import base64
import secrets
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta

import structlog
from sqlalchemy import delete, or_, select, update

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import Conflict
from scrm.kernel.sealing import SealBroken, seal, unseal
from scrm.kernel.settings import settings
from scrm.kernel.signing import PREFIX
from scrm.webhooks.models import WebhookSecret

log = structlog.get_logger(__name__)
SECRET_BYTES = 32
MOST_SECRETS = 5  # that sign at once


def add_secret(endpoint_id: int) -> str:
    """Make the endpoint's newest secret; returns it, which happens only here."""
    secret = PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
    sealed = seal(secret.encode(), _about(endpoint_id), _key())
    session().add(WebhookSecret(endpoint_id=endpoint_id, sealed=sealed))
    session().flush()
    return secret


def rotate_secret(endpoint_id: int, hours: float) -> str:
    """Make a new secret; the others sign for ``hours`` more, beside it. 0: they end at once (they became known).

    :raises Conflict: when MOST_SECRETS would sign at once
    """
    now = utcnow()
    ends = now + timedelta(hours=hours)
    living = select(WebhookSecret).where(
        WebhookSecret.endpoint_id == endpoint_id,
        or_(WebhookSecret.expires_at.is_(None), WebhookSecret.expires_at > now),
    )
    if hours and len(session().scalars(living).all()) >= MOST_SECRETS:
        raise Conflict(f"{MOST_SECRETS} secrets sign already; wait until one ends, or end all with hours = 0")
    others = update(WebhookSecret).where(WebhookSecret.endpoint_id == endpoint_id)
    sooner = or_(WebhookSecret.expires_at.is_(None), WebhookSecret.expires_at > ends)
    session().execute(others.where(sooner).values(expires_at=ends))
    forget_secrets()
    return add_secret(endpoint_id)


def forget_secrets(endpoint_id: int | None = None) -> None:
    """Delete secrets that sign nothing any more, or all of one endpoint."""
    gone = delete(WebhookSecret)
    if endpoint_id is None:
        session().execute(gone.where(WebhookSecret.expires_at <= utcnow()))
    else:
        session().execute(gone.where(WebhookSecret.endpoint_id == endpoint_id))


def signing_secrets(endpoint_ids: Sequence[int]) -> dict[int, list[str]]:
    """By endpoint, the secrets that sign now, the newest first; one that cannot be opened is left out, and logged."""
    now = utcnow()
    rows = session().scalars(
        select(WebhookSecret)
        .where(
            WebhookSecret.endpoint_id.in_(endpoint_ids),
            or_(WebhookSecret.expires_at.is_(None), WebhookSecret.expires_at > now),
        )
        .order_by(WebhookSecret.id.desc())
    )
    found: defaultdict[int, list[str]] = defaultdict(list)
    for row in rows:
        try:
            found[row.endpoint_id].append(unseal(row.sealed, _about(row.endpoint_id), _key()).decode())
        except SealBroken as broken:
            log.warning("webhook secret cannot be opened", endpoint_id=row.endpoint_id, reason=str(broken))
    return dict(found)


def _about(endpoint_id: int) -> str:
    return f"webhook_endpoint:{endpoint_id}"


def _key() -> str:
    return settings().webhooks.secret_key.get_secret_value()
