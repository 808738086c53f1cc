"""Telling people of losses: once each, when they are news and the configuration wants it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import text

from scrm.alerts.service import Alert, alert
from scrm.customers.events import LostBy
from scrm.kernel.clock import in_zone, utcnow
from scrm.kernel.db import session
from scrm.kernel.locks import hold_in_transaction
from scrm.kernel.settings import settings
from scrm.losses.service import alarms
from scrm.losses.service.summing import line_key
from scrm.staff.queries import leaders_of

BATCH = 1000
NEWS = timedelta(days=1)
"""Older losses are counted and listed, and nobody is alarmed by them as if they happened now."""
KIND = "loss"


def judge_losses() -> int:
    """Consider alerts and alarms for the losses nobody considered yet; how many there were in this batch.

    One process at a time: a window of deletions is counted over everything that is committed, and whatever is
    committed later is considered later.
    """
    hold_in_transaction("losses.judging")
    rows = session().execute(_CLAIM, {"limit": BATCH}).all()
    news = [row for row in rows if not row.found and row.lost_at > utcnow() - NEWS]
    alert(_alerts(news))
    deletions = [(row.staff_id, row.lost_at) for row in rows if row.lost_by == LostBy.STAFF and not row.found]
    alarms.watch(deletions, NEWS)
    session().execute(_JUDGED, {"ids": [row.id for row in rows], "now": utcnow()})
    return len(rows)


_CLAIM = text("""
SELECT l.id, l.customer_id, l.staff_id, l.lost_by, l.lost_at, l.added_at, l.found, l.last_contact_at, l.last_contact_by,
  c.name AS customer, f.remark, COALESCE(s.name, s.userid) AS member, s.left_at IS NOT NULL AS member_left
FROM losses l JOIN customers c ON c.id = l.customer_id JOIN staff s ON s.id = l.staff_id
LEFT JOIN follows f ON f.customer_id = l.customer_id AND f.staff_id = l.staff_id
WHERE l.judged_at IS NULL ORDER BY l.id LIMIT :limit FOR UPDATE OF l SKIP LOCKED
""")
_JUDGED = text("UPDATE losses SET judged_at = :now WHERE id = ANY(CAST(:ids AS bigint[]))")


def _alerts(rows: Sequence[Any]) -> list[Alert]:
    """One alert per loss and circle of receivers; each circle gets the name it may see."""
    conf = settings().losses
    circles: dict[LostBy, set[str]] = {
        LostBy.CUSTOMER: set(conf.told_when_customer_leaves),
        LostBy.STAFF: set(conf.told_when_member_deletes),
    }
    told = [row for row in rows if circles[LostBy(row.lost_by)]]
    led = leaders_of([row.staff_id for row in told]) if told else {}
    return [
        made for row in told for made in _for_circles(row, circles[LostBy(row.lost_by)], row.staff_id in led)
    ]


def _for_circles(row: Any, circles: set[str], is_led: bool) -> Iterable[Alert]:
    """Operators see no customer's name; where nobody leads the member, they stand in for the manager.

    Who left the corp is told nothing: what was theirs to know goes to who leads them.
    """
    key = partial(line_key, row.id, row.lost_by)
    to_manager = "manager" in circles or ("staff" in circles and row.member_left)
    if "staff" in circles and not row.member_left:
        yield Alert(KIND, key("staff"), *_words(row, row.remark or row.customer), staff_ids=(row.staff_id,))
    if to_manager and is_led:
        yield Alert(KIND, key("manager"), *_words(row, row.customer), managers_of=(row.staff_id,))
    if "operators" in circles or (to_manager and not is_led):
        yield Alert(KIND, key("operators"), *_words(row, None), operators=True)


def _words(row: Any, name: str | None) -> tuple[str, str]:
    """(zh, en): who left whom, how long they had been there, and the last contact."""
    number = f"#{row.customer_id}"
    who_zh, who_en = f"客户「{name}」" if name else f"客户 {number}", f"customer {name or number}"
    stay_zh, stay_en = _stay(row.added_at, row.lost_at)
    last_zh, last_en = _contact(row.last_contact_at, row.last_contact_by)
    if row.lost_by == LostBy.CUSTOMER:
        zh, en = f"{who_zh}删除了 {row.member}", f"{who_en} deleted {row.member}"
    else:
        zh, en = f"{row.member} 删除了{who_zh}", f"{row.member} deleted {who_en}"
    return f"{zh}（{stay_zh}；{last_zh}）", f"{en} ({stay_en}; {last_en})"


def stay_days(added_at: datetime, lost_at: datetime) -> int:
    """How many midnights of the corp's zone lie between."""
    zone = settings().corp.zone
    return (in_zone(lost_at, zone).date() - in_zone(added_at, zone).date()).days


def _stay(added_at: datetime | None, lost_at: datetime) -> tuple[str, str]:
    if added_at is None:
        return "添加时间未知", "added at an unknown time"
    days = stay_days(added_at, lost_at)
    return f"添加 {days} 天", f"after {days} day{'' if days == 1 else 's'}"


def _contact(at: datetime | None, by: str | None) -> tuple[str, str]:
    if at is None:
        return "无聊天记录", "no messages known"
    when = f"{in_zone(at, settings().corp.zone):%Y-%m-%d %H:%M}"
    zh, en = ("客户", "the customer") if by == "customer" else ("我方", "us")
    return f"最近联系 {when}，{zh}", f"last message {when} from {en}"
