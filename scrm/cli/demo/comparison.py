"""What we believe against what the simulated WeCom accepted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

from config.settings import current_settings
from scrm.cli.demo.cast import Cast
from scrm.cli.demo.outcome import Check, exactly_once, the_same
from scrm.cli.story.api import Json
from scrm.cli.story.marketing import WELCOME

SENT = 1  # status of a mass send's recipient (wecom-api.md §4.9)
LOG_LIMIT = 100_000


def compare(cast: Cast) -> list[Check]:
    """All checks."""
    customers = cast.customers()
    ids = [person["external_userid"] for person in cast.people]
    return [
        the_same("customers are those who scanned", cast.control.state_ids("customer"), customers),
        the_same("relations are WeCom's", _true_relations(cast, ids), _our_relations(customers)),
        *_welcomes(cast),
        *_portraits(cast, customers),
        exactly_once("one reply to each who asked", cast.askers, _receivers(cast, "kf/send_msg", "touser")),
        Check("messages are stored once", len(cast.askers) + len(cast.chats), _stored(cast, "kf")),
        Check("messages of members are stored once", cast.staff_messages, _stored(cast, "app")),
        _group_members(cast),
        *_broadcasts(cast),
        Check("nothing is left over", 0, _left_over(cast)),
    ]


def figures(cast: Cast) -> dict[str, int | float]:
    """Numbers for the table of what happened."""
    welcomes = [one["seconds"] for one in cast.api.every("welcomes", outcome="sent")]
    calls = cast.control.log_counts()
    return {
        "people who scanned a code": len(cast.people),
        "callbacks received": sum(1 for _ in cast.api.every("inbox")),
        "welcomes sent": len(welcomes),
        "slowest welcome (s)": round(max(welcomes, default=0.0), 2),
        "messages": sum(1 for _ in cast.api.every("messages")),
        "automatic replies": sum(calls.get("kf/send_msg", {}).values()),
        "calls that marked tags": sum(calls.get("externalcontact/mark_tag", {}).values()),
        "broadcast tasks at WeCom": sum(calls.get("externalcontact/add_msg_template", {}).values()),
        "calls of WeCom": sum(sum(answers.values()) for answers in calls.values()),
    }


def _accepted(cast: Cast, api: str) -> list[Json]:
    return cast.control.log(api=api, limit=LOG_LIMIT)


def _receivers(cast: Cast, api: str, field: str) -> Counter[Hashable]:
    return Counter(call["body"][field] for call in _accepted(cast, api))


def _welcomes(cast: Cast) -> list[Check]:
    """Each add was welcomed once, with the right names. An add may carry two codes (half and full), of which one counts."""
    calls = _accepted(cast, "externalcontact/send_welcome_msg")
    adds = {call["body"]["welcome_code"]: _add_of(cast, call["body"]["welcome_code"]) for call in calls}
    people = {(person["userid"], person["external_userid"]): person["name"] for person in cast.people}
    seen: Counter[Hashable] = Counter(adds[call["body"]["welcome_code"]] for call in calls)
    staff = {
        userid: cast.control.state("member", userid)["name"] for userid in cast.control.state_ids("member")
    }
    corp = current_settings().corp.name
    told = [(adds[call["body"]["welcome_code"]], call["body"]["text"]["content"]) for call in calls]
    meant = [
        (pair, WELCOME.format(customer=name, staff=staff[pair[0]], corp=corp))
        for pair, name in people.items()
    ]
    return [
        exactly_once("one welcome for each add", people, seen),
        the_same("welcomes name both people", meant, told),
    ]


def _add_of(cast: Cast, welcome_code: str) -> tuple[str, str]:
    """The relation that a welcome code was made for."""
    found = cast.control.state("welcome", welcome_code)
    return found["userid"], found["external_userid"]


def _true_relations(cast: Cast, ids: list[str]) -> list[Hashable]:
    people = [cast.control.state("customer", external_userid) for external_userid in ids]
    return [
        (follow["userid"], person["external_userid"]) for person in people for follow in person["follows"]
    ]


def _our_relations(customers: dict[str, Json]) -> list[Hashable]:
    return [
        (follow["userid"], external_userid)
        for external_userid, customer in customers.items()
        for follow in customer["follows"]
        if follow["status"] == "active"
    ]


def _portraits(cast: Cast, customers: dict[str, Json]) -> list[Check]:
    """Tags of every relation at WeCom against the tags in every portrait; messages against the portraits' counters."""
    truth: list[Hashable] = []
    for tag in cast.api.every("tags"):
        holders = cast.control.state("tag", tag["wecom_id"])["holders"]
        truth += [(one["userid"], one["external_userid"], tag["name"]) for one in holders]
    ours: list[Hashable] = []
    said = 0
    for external_userid, customer in customers.items():
        staff = {follow["staff_id"]: follow["userid"] for follow in customer["follows"]}
        portrait = cast.api.get(f"customers/{customer['id']}")
        ours += [
            (staff[t["staff_id"]], external_userid, t["tag"])
            for t in portrait["tags"]
            if t["state"] == "active"
        ]
        said += (portrait["counters"] or {"messages_in": 0})["messages_in"]
    return [
        the_same("tags of portraits are WeCom's", truth, ours),
        Check("portraits count every message", len(cast.askers) + len(cast.chats), said),
    ]


def _stored(cast: Cast, channel: str) -> int:
    return sum(1 for _ in cast.api.every("messages", channel=channel, direction="in"))


def _group_members(cast: Cast) -> Check:
    truth: list[Hashable] = []
    for chat_id in cast.control.state_ids("group"):
        truth += [(chat_id, member) for member in cast.control.state("group", chat_id)["members"]]
    ours: list[Hashable] = []
    for group in cast.api.every("groups"):
        members = cast.api.every(f"groups/{group['id']}/members", present="true")
        ours += [(group["chat_id"], one["member_id"]) for one in members]
    return the_same("members of groups are WeCom's", truth, ours)


def _broadcasts(cast: Cast) -> list[Check]:
    groups = cast.control.state_ids("group")
    return [
        exactly_once("each customer of the broadcast got it once", cast.askers, _reached(cast, "single")),
        exactly_once("each group of the broadcast got it once", groups, _reached(cast, "group")),
        Check("results of the broadcast to customers", len(cast.askers), _results(cast, "customers")),
        Check("results of the broadcast to groups", len(groups), _results(cast, "groups")),
    ]


def _reached(cast: Cast, chat_type: str) -> Counter[Hashable]:
    """Recipients whom mass sends of this type really reached."""
    found: Counter[Hashable] = Counter()
    for msgid in cast.control.state_ids("mass_send"):
        task = cast.control.state("mass_send", msgid)
        if task["chat_type"] == chat_type:
            for sender in task["senders"].values():
                found.update(who for who, status in sender["recipients"].items() if status == SENT)
    return found


def _results(cast: Cast, kind: str) -> int:
    made = cast.broadcasts[kind]
    return int(cast.api.get(f"broadcasts/{made['id']}/results", limit=1)["totals"].get("sent", 0))


def _left_over(cast: Cast) -> int:
    """Callbacks that could not be handled, and changes that WeCom did not accept."""
    dead = sum(1 for _ in cast.api.every("inbox", state="dead"))
    return dead + sum(
        1 for state in ("failed", "unknown", "expired") for _ in cast.api.every("effects", state=state)
    )
