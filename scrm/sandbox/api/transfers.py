"""On-job and resigned transfer of customers, and who is unassigned (wecom-api.md §4.12)."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from scrm.sandbox.api.fields import decode_cursor, encode_cursor, integer, invalid, required, strings, text
from scrm.sandbox.api.registry import Call, Json, api
from scrm.sandbox.api.relations import scoped_member
from scrm.sandbox.errors import WecomError
from scrm.sandbox.people import transfers

if TYPE_CHECKING:
    from scrm.sandbox.model.people import Member
    from scrm.sandbox.model.transfers import Transfer

NO_USERID, NO_EXTERNAL, BAD_USER, OUT_OF_RANGE = 41009, 41035, 40003, 60021
NOT_RESIGNED, NOT_VERIFIED, SAME_PERSON, BANNED, NOT_ACTIVE = 40097, 40098, 40130, 40143, 41054
ACTIVE, DISABLED = 1, 2
CUSTOMERS, MESSAGE_CHARS = 100, 200
RESULT_PAGE, UNASSIGNED_PAGE, UNASSIGNED_DEPTH = 1_000, 1_000, 50_000


@api("externalcontact/transfer_customer")
def transfer_customer(call: Call) -> Json:
    """Start on-job transfers; `errcode` beside each customer, 0 = started."""
    text(call.body, "transfer_success_msg", MESSAGE_CHARS)
    old, new = _two_userids(call)
    handover = call.world.members.get(old)
    if handover is None:
        raise WecomError(BAD_USER, "invalid userid: handover_userid")
    if handover.status == DISABLED:
        raise WecomError(BANNED, "handover user is banned")
    return _start(call, handover, new)


@api("externalcontact/resigned/transfer_customer")
def resigned_transfer_customer(call: Call) -> Json:
    """Start transfers of a resigned member's customers; there is no message to them."""
    old, new = _two_userids(call)
    if old in call.world.members:
        raise WecomError(NOT_RESIGNED, "handover user has not resigned")
    handover = call.world.left.get(old)
    if handover is None:
        raise WecomError(BAD_USER, "invalid userid: handover_userid")
    return _start(call, handover, new)


@api("externalcontact/transfer_result")
def transfer_result(call: Call) -> Json:
    """What became of the on-job transfers between these two, in pages of 1,000."""
    return _results(call, resigned=False)


@api("externalcontact/resigned/transfer_result")
def resigned_transfer_result(call: Call) -> Json:
    """What became of the transfers from a resigned member to this one, in pages of 1,000."""
    return _results(call, resigned=True)


@api("externalcontact/get_unassigned_list")
def get_unassigned_list(call: Call) -> Json:
    """Customers of resigned members nobody has taken over; by page number or by cursor."""
    body = call.body
    size = integer(body, "page_size", UNASSIGNED_PAGE)
    if not 1 <= size <= UNASSIGNED_PAGE:
        raise invalid("page_size", f"must be 1 to {UNASSIGNED_PAGE}")
    page = integer(body, "page_id")
    if page < 0 or page * size >= UNASSIGNED_DEPTH:
        raise invalid("page_id", f"times page_size must be under {UNASSIGNED_DEPTH}; use the cursor")
    cursor = text(body, "cursor")
    offset = decode_cursor("unassigned", cursor) if cursor else page * size
    seen = (item for item in transfers.unassigned(call.world) if call.app.sees(item[0].userid))
    rows = list(islice(seen, offset, offset + size + 1))
    last = len(rows) <= size
    return {
        "info": [
            {
                "handover_userid": member.userid,
                "external_userid": follow.external_userid,
                "dimission_time": member.left_at,
            }
            for member, follow in rows[:size]
        ],
        "is_last": last,
        "next_cursor": "" if last else encode_cursor("unassigned", offset + size),
    }


def heir(call: Call, userid: str) -> Member:
    """A member who may take over customers or groups: in range, with the feature, activated, verified."""
    member = scoped_member(call, userid)
    if member.status != ACTIVE:
        raise WecomError(NOT_ACTIVE, "user not activated")
    if not member.verified:
        raise WecomError(NOT_VERIFIED, "user is not real-name verified")
    return member


def _two_userids(call: Call) -> tuple[str, str]:
    return required(call.body, "handover_userid", NO_USERID), required(
        call.body, "takeover_userid", NO_USERID
    )


def _start(call: Call, handover: Member, takeover_userid: str) -> Json:
    people = strings(call.body, "external_userid", CUSTOMERS)
    if not people:
        raise WecomError(NO_EXTERNAL, "missing external_userid")
    if handover.userid == takeover_userid:
        raise WecomError(SAME_PERSON, "handover and takeover are the same user")
    if not call.app.sees(handover.userid):
        raise WecomError(OUT_OF_RANGE, "user not in the app's visible range")
    takeover = heir(call, takeover_userid)
    message = None if handover.left_at else text(call.body, "transfer_success_msg")
    rows = [
        {"external_userid": item, "errcode": transfers.start(call.sandbox, handover, takeover, item, message)}
        for item in people
    ]
    return {"customer": rows}


def _results(call: Call, resigned: bool) -> Json:
    old, new = _two_userids(call)
    for userid in (old, new):
        if userid not in call.world.members and userid not in call.world.left:
            raise WecomError(BAD_USER, "invalid userid")
        if not call.app.sees(userid):
            raise WecomError(OUT_OF_RANGE, "user not in the app's visible range")
    scope = f"transfers:{old}:{new}"
    offset = decode_cursor(scope, text(call.body, "cursor"))
    records = [
        item for item in call.world.transfers.pairs.get((old, new), {}).values() if item.resigned == resigned
    ]
    answer: Json = {"customer": [_row(item) for item in records[offset : offset + RESULT_PAGE]]}
    if offset + RESULT_PAGE < len(records):
        answer["next_cursor"] = encode_cursor(scope, offset + RESULT_PAGE)
    return answer


def _row(item: Transfer) -> Json:
    return {
        "external_userid": item.external_userid,
        "status": item.status,
        "takeover_time": int(item.ends),
    }
