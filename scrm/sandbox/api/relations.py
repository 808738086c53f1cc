"""The checks every call about a member and a customer makes (84061, 60021, 40003, 40096)."""

from __future__ import annotations

from scrm.sandbox.api.registry import Call
from scrm.sandbox.errors import WecomError
from scrm.sandbox.model.people import Customer, Follow, Member

NO_RELATION, OUT_OF_RANGE, BAD_USER, BAD_EXTERNAL, NO_FEATURE = 84061, 60021, 40003, 40096, 84074


def scoped_member(call: Call, userid: str) -> Member:
    """A member in the app's visible range who has the customer-contact feature."""
    member = call.world.members.get(userid)
    if member is None:
        raise WecomError(BAD_USER, "invalid userid")
    if userid in call.world.failing:
        raise WecomError(call.world.failing[userid], "injected by the sandbox for this user")
    if not call.app.sees(userid):
        raise WecomError(OUT_OF_RANGE, "user not in the app's visible range")
    if not member.contact_feature:
        raise WecomError(NO_FEATURE, "no external contact permission")
    return member


def known_customer(call: Call, external_userid: str) -> Customer:
    """A customer of this corp, followed or not."""
    found = call.world.customers.get(external_userid)
    if found is None:
        raise WecomError(BAD_EXTERNAL, "invalid external userid")
    return found


def full_follow(call: Call, userid: str, external_userid: str) -> Follow:
    """A full relation; half-added and ended ones are 84061, one the customer ended still works (§1.3)."""
    member = scoped_member(call, userid)
    known_customer(call, external_userid)
    follow = member.follows.get(external_userid)
    if follow is None or follow.half:
        raise WecomError(NO_RELATION, "not external contact")
    return follow
