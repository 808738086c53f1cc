"""API keys: bearer tokens of which only a hash is kept, with permissions and a data scope."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Sequence
from datetime import timedelta

from sqlalchemy import select, update

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session, transaction
from scrm.kernel.errors import InvalidInput, NotFound, Unauthorized
from scrm.kernel.models import ApiKey
from scrm.kernel.permissions import Actor, Permission, Scope

LABEL = "scrm"
KEY, CLI = "apikey", "cli"  # how names of actors begin
PREFIX_BYTES = 6
SECRET_BYTES = 32
USED_EVERY = timedelta(minutes=1)  # last_used_at is written this often at most


def create_key(
    name: str, permissions: Iterable[str], staff_ids: Sequence[int] | None = None
) -> tuple[ApiKey, str]:
    """Make a key inside the running transaction.

    :param permissions: names such as ``customers:read``; ``*`` for all
    :param staff_ids: only customers of these staff; None for everybody's
    :returns: the row and the token, which is not kept and cannot be shown again
    """
    wanted = set(permissions)
    known = {str(p) for p in Permission}
    if unknown := wanted - known - {"*"}:
        raise InvalidInput.field(
            "scope", f"{', '.join(sorted(unknown))} is no permission; known: *, {', '.join(sorted(known))}"
        )
    prefix, secret = secrets.token_hex(PREFIX_BYTES), secrets.token_urlsafe(SECRET_BYTES)
    row = ApiKey(
        name=name,
        prefix=prefix,
        secret_hash=_hash(secret),
        permissions=sorted(known if "*" in wanted else wanted),
        staff_ids=None if staff_ids is None else sorted(staff_ids),
    )
    session().add(row)
    session().flush()
    return row, f"{LABEL}_{prefix}_{secret}"


def list_keys() -> list[ApiKey]:
    """All keys, newest first; revoked ones too."""
    return list(session().scalars(select(ApiKey).order_by(ApiKey.id.desc())))


def revoke_key(prefix: str) -> None:
    """End a key at once; raises NotFound for an unknown prefix."""
    done = session().execute(
        update(ApiKey).where(ApiKey.prefix == prefix).values(revoked_at=utcnow()).returning(ApiKey.id)
    )
    if done.first() is None:
        raise NotFound(f"no API key has the prefix {prefix}; `scrm apikey list` shows them")


def actor_for_token(token: str) -> Actor:
    """Who holds this token; raises Unauthorized for one that is unknown, malformed or revoked."""
    label, _, rest = token.partition("_")
    prefix, _, secret = rest.partition("_")
    row = (
        session().scalars(select(ApiKey).where(ApiKey.prefix == prefix)).one_or_none()
        if label == LABEL
        else None
    )
    if row is None or not hmac.compare_digest(row.secret_hash, _hash(secret)) or row.revoked_at:
        raise Unauthorized("this API key is unknown or was revoked; make one with `scrm apikey create`")
    _note_use(row)
    return _actor_of(row)


def actor_named(name: str) -> Actor:
    """Who acted under a name that was noted, with what they may do today; a key that was revoked may do nothing.

    :param name: ``apikey:3``, or ``cli:ann`` of somebody at this machine, who may do everything
    """
    kind, _, rest = name.partition(":")
    if kind == CLI:
        return Actor(name, frozenset(Permission), Scope.all())
    row = session().get(ApiKey, int(rest)) if kind == KEY and rest.isdecimal() else None
    return Actor(name, frozenset()) if row is None or row.revoked_at else _actor_of(row)


def _actor_of(row: ApiKey) -> Actor:
    scope = Scope.all() if row.staff_ids is None else Scope.of_staff(*row.staff_ids)
    known = set(Permission)
    return Actor(f"{KEY}:{row.id}", frozenset(Permission(p) for p in row.permissions if p in known), scope)


def _note_use(row: ApiKey) -> None:
    now = utcnow()
    if row.last_used_at is None or row.last_used_at < now - USED_EVERY:
        with transaction():
            session().execute(update(ApiKey).where(ApiKey.id == row.id).values(last_used_at=now))


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
