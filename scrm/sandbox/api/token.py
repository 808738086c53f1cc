"""gettoken and the platform's own addresses (wecom-api.md §1.1, §2.5)."""

from __future__ import annotations

from math import ceil

from scrm.sandbox.api.registry import Call, Json, api
from scrm.sandbox.errors import WecomError
from scrm.sandbox.model.world import App

NO_CORP_ID, NO_SECRET, BAD_CORP_ID, BAD_SECRET = 41002, 41004, 40013, 40001
BANNED = 45009
HOUR = 3_600


@api("gettoken", "GET", feature=None, needs_token=False)
def gettoken(call: Call) -> Json:
    """The same token until it is near expiry; wrong secrets count towards an hour's ban of the IP."""
    corp_id, secret = call.query.get("corpid"), call.query.get("corpsecret")
    if not corp_id:
        raise WecomError(NO_CORP_ID, "corpid missing")
    if not secret:
        raise WecomError(NO_SECRET, "corpsecret missing")
    if corp_id != call.world.config.corp_id:
        raise WecomError(BAD_CORP_ID, "invalid corpid")
    _refuse_banned(call)
    for app in call.world.apps.values():
        if app.config.secret == secret:
            return _token_of(call, app)
    _count_bad_secret(call)
    raise WecomError(BAD_SECRET, "invalid credential")


@api("getcallbackip", "GET", feature=None)
def getcallbackip(call: Call) -> Json:
    """Callbacks come from this machine."""
    return {"ip_list": ["127.0.0.1"]}


@api("get_api_domain_ip", "GET", feature=None)
def get_api_domain_ip(call: Call) -> Json:
    """The API is on this machine."""
    return {"ip_list": ["127.0.0.1"]}


def _token_of(call: Call, app: App) -> Json:
    world, now = call.world, call.world.clock.now()
    if (
        app.token is None
        or app.token not in world.tokens
        or _left(call, app) <= world.limits.token_early_seconds
    ):
        app.token = world.ids.opaque("", 64)
        app.expires = now + world.limits.token_seconds
        world.tokens[app.token] = (app, app.expires)
        _forget_old_tokens(call)
    return {"access_token": app.token, "expires_in": ceil(_left(call, app))}


def _left(call: Call, app: App) -> float:
    return app.expires - call.world.clock.now()


def _forget_old_tokens(call: Call) -> None:
    """Long-expired tokens answer 40014 like garbage; recently expired ones 42001."""
    now, tokens = call.world.clock.now(), call.world.tokens
    for token in [key for key, (_, expires) in tokens.items() if now - expires > 24 * HOUR]:
        del tokens[token]


def _refuse_banned(call: Call) -> None:
    bans = call.world.ip_bans
    if call.world.clock.now() < bans.get(call.ip, 0.0):
        raise WecomError(BANNED, "ip banned for an hour after too many wrong secrets")


def _count_bad_secret(call: Call) -> None:
    limit = call.world.limits.bad_secret_bans_after
    if limit and not call.sandbox.limits.take_from(call.ip, "bad secret", HOUR, limit):
        call.world.ip_bans[call.ip] = call.world.clock.now() + HOUR
