"""get_user_behavior_data: what members did with their customers, day by day (wecom-api.md §4.10)."""

from __future__ import annotations

from collections import Counter

from scrm.sandbox.api.contact_ways import people_of
from scrm.sandbox.api.fields import EMPTY, invalid, strings
from scrm.sandbox.api.registry import Call, Json, api
from scrm.sandbox.api.relations import scoped_member
from scrm.sandbox.api.statistics_days import days
from scrm.sandbox.errors import WecomError
from scrm.sandbox.model.activity import CHATS, FEEDBACK, MESSAGES, REPLIED, REPLY_SECONDS
from scrm.sandbox.people.natural_days import day_of, day_start

TARGETS = 100


@api("externalcontact/get_user_behavior_data")
def get_user_behavior_data(call: Call) -> Json:
    """One row a day, several members summed; today is not ready before tomorrow."""
    people = _people(call)
    span, today = days(call, "start_time", "end_time"), day_of(call.world.clock.now())
    added: Counter[int] = Counter()
    for userid in people:
        for follow in call.world.members[userid].follows.values():
            added[day_of(follow.createtime)] += 1
    return {"behavior_data": [_row(call, people, day, added[day]) for day in span if day < today]}


def _people(call: Call) -> list[str]:
    userids, parties = strings(call.body, "userid", TARGETS), call.body.get("partyid") or []
    if not isinstance(parties, list) or not all(isinstance(item, int) for item in parties):
        raise invalid("partyid", "must be a list of numbers")
    if len(parties) > TARGETS:
        raise invalid("partyid", f"exceeds {TARGETS} items")
    if not userids and not parties:
        raise WecomError(EMPTY, "missing userid or partyid")
    for userid in userids:
        scoped_member(call, userid)
    below = [userid for userid in people_of(call, parties) if call.app.sees(userid)]
    return list(dict.fromkeys([*userids, *below]))


def _row(call: Call, people: list[str], day: int, added: int) -> Json:
    counts: Counter[str] = Counter()
    for userid in people:
        counts += call.world.activity.members.get((userid, day), Counter())
    row: Json = {
        "stat_time": day_start(day),
        "chat_cnt": counts[CHATS],
        "message_cnt": counts[MESSAGES],
        "avg_reply_time": 0,
        "negative_feedback_cnt": counts[FEEDBACK],
        "new_apply_cnt": added,
        "new_contact_cnt": added,
    }
    if counts[CHATS]:
        row["reply_percentage"] = round(100 * counts[REPLIED] / counts[CHATS], 2)
    if counts[REPLIED]:
        row["avg_reply_time"] = counts[REPLY_SECONDS] // 60 // counts[REPLIED]
    return row
