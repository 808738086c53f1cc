"""Control calls about transfers: customers refuse, waiting ends early, and the truth about them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from scrm.sandbox.control_api.contact_views import told
from scrm.sandbox.control_api.fields import Body
from scrm.sandbox.control_api.truth import entity
from scrm.sandbox.people import transfers

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrm.sandbox.callbacks.delivery import Delivery
    from scrm.sandbox.model.world import World
    from scrm.sandbox.runtime import Sandbox

Json = dict[str, Any]


def routes(sandbox: Sandbox) -> dict[tuple[str, str], Callable[..., Json]]:
    """Method and path to view."""
    return {
        ("POST", "/transfers/refuse"): lambda: _end(sandbox, transfers.refuse),
        ("POST", "/transfers/finish"): lambda: _end(sandbox, transfers.finish),
        ("GET", "/transfers/unassigned"): lambda: _unassigned(sandbox),
    }


def _end(sandbox: Sandbox, action: Callable[[Sandbox, str], list[Delivery]]) -> Json:
    """All named ones, or everything under way when nobody is named."""
    body = Body.of_request()
    people = body.strings("external_userids", None)
    body.done()
    with sandbox.world.lock:
        chosen = list(sandbox.world.transfers.under_way) if people is None else people
        made = [item for external_userid in chosen for item in action(sandbox, external_userid)]
    return told(made, external_userids=chosen)


def _unassigned(sandbox: Sandbox) -> Json:
    with sandbox.world.lock:
        return {
            "unassigned": [
                {"handover_userid": member.userid, "external_userid": follow.external_userid}
                for member, follow in transfers.unassigned(sandbox.world)
            ]
        }


def _records(world: World, external_userid: str) -> Json | None:
    """`item_id` = external_userid: every transfer of this customer, oldest first."""
    found = [
        item
        for pair in world.transfers.pairs.values()
        for item in pair.values()
        if item.external_userid == external_userid
    ]
    found.sort(key=lambda item: item.created)
    return {"transfers": [asdict(item) for item in found]} if found else None


entity("transfer", _records, lambda world: world.transfers.under_way)
