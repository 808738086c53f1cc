"""Control calls for corps of a million: computed customers, exact alterations, members whose calls fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrm.sandbox.control_api.fields import Body
from scrm.sandbox.errors import ControlError
from scrm.sandbox.people import bulk_life
from scrm.sandbox.people.population import Plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrm.sandbox.runtime import Sandbox

Json = dict[str, Any]
SHARES = {"second_follow_share": 0.0, "tag_share": 0.5, "state_share": 0.3}
SIZES = {"customers_per_member": 1_000, "groups_per_member": 0, "group_size": 50, "states": 5}
PLAN = {"members": 1_000, "departments": 20, "tag_groups": 4, "tags_per_group": 5, "kf_accounts": 0}


def routes(sandbox: Sandbox) -> dict[tuple[str, str], Callable[..., Json]]:
    """Method and path to view."""
    return {
        ("POST", "/bulk"): lambda: _make(sandbox),
        ("GET", "/bulk"): lambda: _count(sandbox),
        ("POST", "/bulk/alter"): lambda: _alter(sandbox),
        ("POST", "/staff/failing"): lambda: _failing(sandbox),
    }


def _make(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    plan = {name: body.whole(name, default) for name, default in PLAN.items()}
    sizes = {name: body.whole(name, default) for name, default in SIZES.items()}
    shares = {name: share_of(body, name, default) for name, default in SHARES.items()}
    body.done()
    with sandbox.world.lock:
        return bulk_life.make(sandbox.world, Plan(**plan), shares, sizes)


def _count(sandbox: Sandbox) -> Json:
    with sandbox.world.lock:
        return bulk_life.count(bulk_life.of(sandbox.world))


def _alter(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    what = body.choice("what", (*bulk_life.CHANGES, *bulk_life.GROUP_CHANGES))
    share = share_of(body, "share")
    body.done()
    with sandbox.world.lock:
        return bulk_life.alter(sandbox.world, what, share)


def _failing(sandbox: Sandbox) -> Json:
    """From now on every customer-contact call about these members answers `errcode` (0: works again)."""
    body = Body.of_request()
    userids, errcode = body.strings("userids"), body.errcode("errcode", -1)
    body.done()
    failing = sandbox.world.failing
    with sandbox.world.lock:
        for userid in userids:
            sandbox.world.member(userid)
            if errcode:
                failing[userid] = errcode
            else:
                failing.pop(userid, None)
        return {"failing": dict(failing)}


def share_of(body: Body, name: str, *default: float) -> float:
    """A number from 0 to 1."""
    share: float = body.number(name, *default)
    if share > 1:
        raise ControlError(f"{name} must be at most 1")
    return share
