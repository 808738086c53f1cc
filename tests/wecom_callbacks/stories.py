"""Every sample callback with one that comes before it and one that comes after, and what the tables then say."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text

SAMPLES = Path(__file__).parent / "samples"
CONTACT, CHAT, TAG = "change_external_contact", "change_external_chat", "change_external_tag"
MEMBER, LINK = "change_contact", "customer_acquisition"


@dataclass(frozen=True)
class Story:
    """Sample names (files without ``.xml``) in the order in which things happened."""

    before: str
    sample: str
    after: str


def body(name: str, created: int) -> str:
    """A sample as sent at ``created`` (Unix seconds)."""
    xml = (SAMPLES / f"{name}.xml").read_text()
    return re.sub(r"<CreateTime>\d+</CreateTime>", f"<CreateTime>{created}</CreateTime>", xml)


def kind(name: str) -> tuple[str, str | None]:
    """(event, change type) that a sample's name promises."""
    stem = name.partition("@")[0]
    if stem.startswith("message."):
        return stem, None
    event, _, change = stem.partition(".")
    return event, change.partition(".")[0] or None


def names() -> list[str]:
    """All samples."""
    return sorted(path.stem for path in SAMPLES.glob("*.xml"))


PAIRS = {
    f"{CONTACT}.add_external_contact": (f"{CONTACT}.del_follow_user", f"{CONTACT}.del_external_contact"),
    f"{CONTACT}.add_half_external_contact": (f"{CONTACT}.del_follow_user", f"{CONTACT}.add_external_contact"),
    f"{CONTACT}.edit_external_contact": (
        f"{CONTACT}.add_external_contact",
        f"{CONTACT}.del_external_contact",
    ),
    f"{CONTACT}.del_external_contact": (
        f"{CONTACT}.add_external_contact",
        f"{CONTACT}.add_external_contact",
    ),
    f"{CONTACT}.del_external_contact@transfer": (
        f"{CONTACT}.add_external_contact",
        f"{CONTACT}.transfer_fail",
    ),
    f"{CONTACT}.del_follow_user": (f"{CONTACT}.add_external_contact", f"{CONTACT}.del_external_contact"),
    f"{CONTACT}.transfer_fail": (f"{CONTACT}.add_external_contact", f"{CONTACT}.transfer_fail@limit"),
    f"{CONTACT}.transfer_fail@limit": (f"{CONTACT}.transfer_fail", f"{CONTACT}.del_follow_user"),
    f"{CONTACT}.msg_audit_approved": (
        f"{CONTACT}.add_half_external_contact",
        f"{CONTACT}.edit_external_contact",
    ),
    f"{CHAT}.create": (f"{CHAT}.update.change_name", f"{CHAT}.dismiss"),
    f"{CHAT}.dismiss": (f"{CHAT}.create", f"{CHAT}.update.change_owner"),
    f"{CHAT}.update.del_member": (f"{CHAT}.update.add_member", f"{CHAT}.update.change_name"),
    **{
        f"{CHAT}.update.{detail}": (f"{CHAT}.create", f"{CHAT}.update.del_member")
        for detail in ("add_member", "add_member@single", "add_member@commas", "add_member@old")
    },
    **{
        f"{CHAT}.update.change_{what}": (f"{CHAT}.create", f"{CHAT}.dismiss")
        for what in ("owner", "name", "notice")
    },
    f"{TAG}.create": (f"{TAG}.create@group", f"{TAG}.delete"),
    f"{TAG}.update": (f"{TAG}.create", f"{TAG}.delete"),
    f"{TAG}.delete": (f"{TAG}.create", f"{TAG}.shuffle"),
    f"{TAG}.create@group": (f"{TAG}.create", f"{TAG}.delete@group"),
    f"{TAG}.update@group": (f"{TAG}.create@group", f"{TAG}.shuffle@groups"),
    f"{TAG}.delete@group": (f"{TAG}.create@group", f"{TAG}.create@group"),
    f"{TAG}.shuffle": (f"{TAG}.create@group", f"{TAG}.shuffle@groups"),
    f"{TAG}.shuffle@groups": (f"{TAG}.create@group", f"{TAG}.shuffle"),
    f"{MEMBER}.create_user": (f"{MEMBER}.create_party", f"{MEMBER}.update_user"),
    f"{MEMBER}.update_user": (f"{MEMBER}.create_user", f"{MEMBER}.delete_user"),
    f"{MEMBER}.update_user@userid": (f"{MEMBER}.create_user", f"{MEMBER}.update_user"),
    f"{MEMBER}.delete_user": (f"{MEMBER}.create_user", f"{MEMBER}.create_user"),
    f"{MEMBER}.create_party": (f"{MEMBER}.delete_party", f"{MEMBER}.update_party"),
    f"{MEMBER}.update_party": (f"{MEMBER}.create_party", f"{MEMBER}.delete_party"),
    f"{MEMBER}.delete_party": (f"{MEMBER}.create_party", f"{MEMBER}.create_party"),
    "kf_account_auth_change": ("kf_account_auth_change@del", "kf_msg_or_event"),
    "kf_account_auth_change@del": ("kf_account_auth_change", "kf_account_auth_change"),
    "kf_msg_or_event": ("kf_account_auth_change", "kf_account_auth_change@del"),
    "subscribe": ("message.text", "unsubscribe"),
    "unsubscribe": ("subscribe", "enter_agent"),
    f"{LINK}.link_unavailable": (f"{LINK}.friend_request", f"{LINK}.delete_link"),
    f"{LINK}.delete_link": (f"{LINK}.friend_request", f"{LINK}.link_unavailable"),
    f"{LINK}.balance_increased": (f"{LINK}.balance_exhausted", f"{LINK}.balance_low"),
    f"{LINK}.balance_low": (f"{LINK}.balance_increased", f"{LINK}.balance_exhausted"),
    f"{LINK}.balance_exhausted": (f"{LINK}.balance_low", f"{LINK}.balance_increased"),
}
"""What comes before and after a sample; of one that stands alone, itself at other times."""


def story(name: str) -> Story:
    """The story of a sample."""
    before, after = PAIRS.get(name, (name, name))
    return Story(before, name, after)


# What the tables say, by names instead of ids. Times at which something was asked for are only "asked" or not: the
# answer of WeCom then decides, and it does not depend on the order of callbacks.
SAYINGS = {
    "staff": """SELECT userid, name, alias, position, status, main_department_id, left_at, told, told_at FROM staff
        WHERE userid NOT LIKE '%#%'""",
    "aliases": "SELECT a.userid, s.userid FROM staff_aliases a JOIN staff s ON s.id = a.staff_id",
    "memberships": """SELECT s.userid, d.department_id, d.is_leader FROM staff_departments d
        JOIN staff s ON s.id = d.staff_id""",
    "departments": "SELECT id, name, parent_id, position, told, told_at, deleted_at FROM departments",
    "customers": "SELECT external_userid, refresh_wanted_at IS NOT NULL FROM customers",
    "follows": """SELECT c.external_userid, s.userid, f.status, half_added_at, added_at, add_event_at, state, state_at,
        deleted_by_staff_at, delete_source, deleted_by_customer_at, transfer_failed_at, transfer_fail_reason
        FROM follows f JOIN customers c ON c.id = f.customer_id JOIN staff s ON s.id = f.staff_id""",
    "welcomes": """SELECT s.userid, count(*) FROM welcomes w JOIN follows f ON f.id = w.follow_id
        JOIN staff s ON s.id = f.staff_id GROUP BY 1""",
    "groups": """SELECT chat_id, status, dismissed_at, founded_at, refresh_wanted_at IS NOT NULL, expected_version
        FROM customer_groups""",
    "tags": "SELECT wecom_id, kind, gone FROM tag_refreshes",
    "kf": """SELECT open_kfid, pull_token, pull_wanted_at IS NOT NULL, called_at, granted_at, removed_at
        FROM kf_accounts""",
    "messages": """SELECT channel, direction, m.kind, text, media_id, content, sent_at, s.userid FROM messages m
        JOIN staff s ON s.id = m.staff_id""",
    "links": """SELECT e.change_type, e.event_at, e.link_id, e.state, e.expires_at, e.expiring, e.chat_key, s.userid
        FROM link_events e LEFT JOIN follows f ON f.id = e.follow_id LEFT JOIN staff s ON s.id = f.staff_id""",
    "link readings": "SELECT kind, wanted_at IS NOT NULL FROM link_readings",
    "alerts": "SELECT kind, key FROM alerts",
    "notices": "SELECT event, app, subject, told_at, content FROM callback_notices",
}


def said(session: object) -> dict[str, list[str]]:
    """What all tables say, rows sorted."""
    session.rollback()
    return {
        name: sorted(repr(tuple(row)) for row in session.execute(text(sql))) for name, sql in SAYINGS.items()
    }
