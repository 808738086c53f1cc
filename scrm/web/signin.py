"""Signing a browser in with a one-time link.

The token stands behind the ``#`` of the address: a browser does not send that part, so it is in no log. The page posts
it, the database remembers that it was used, and the browser gets a signed cookie.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta

from flask import session as cookie
from sqlalchemy import update

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import Unauthorized
from scrm.kernel.models import SigninLink
from scrm.kernel.permissions import Actor, Permission, Scope

LINK_LIFE = timedelta(hours=12)
COOKIE_LIFE = timedelta(hours=12)
SIGNED_IN_AT = "signed_in_at"


def new_signin_link(base_url: str) -> str:
    """A link that signs one browser in once, within 12 hours; call inside a transaction.

    :param base_url: address of the web process, such as ``http://127.0.0.1:8700``
    """
    token = secrets.token_urlsafe(24)
    session().add(SigninLink(digest=_digest(token), expires_at=utcnow() + LINK_LIFE))
    return f"{base_url.rstrip('/')}/signin#{token}"


def sign_in(token: str) -> None:
    """Use up a link's token and mark this browser as signed in; raises Unauthorized when it is used or too old."""
    now = utcnow()
    used = session().execute(
        update(SigninLink)
        .where(SigninLink.digest == _digest(token), SigninLink.used_at.is_(None), SigninLink.expires_at > now)
        .values(used_at=now)
        .returning(SigninLink.digest)
    )
    if used.first() is None:
        raise Unauthorized("this sign-in link was used or is too old; `scrm signin` prints a new one")
    cookie.clear()
    cookie[SIGNED_IN_AT] = now.timestamp()


def cookie_actor() -> Actor | None:
    """Who the browser's cookie names: the operator at this machine, who may look at the overview."""
    since = cookie.get(SIGNED_IN_AT)
    if not isinstance(since, float) or utcnow().timestamp() - since > COOKIE_LIFE.total_seconds():
        return None
    return Actor("browser", frozenset({Permission.OVERVIEW_READ}), Scope.all())


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
