"""Telling operators what has to be seen to: a link that broke or was deleted, a quota that ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import select

from scrm.acquisition_links.models import AcquisitionLink, QuotaLevel, QuotaReading
from scrm.alerts.service import Alert, alert
from scrm.kernel.clock import in_zone, utcnow
from scrm.kernel.db import session
from scrm.kernel.settings import settings

if TYPE_CHECKING:
    from scrm.acquisition_links.service.recording import LinkCallback

BROKEN = {
    "link_unavailable": (
        "已不可用，请检查使用范围内的成员。",
        "stopped working; look at the members of its range.",
    ),
    "delete_link": ("已在管理后台被删除。", "was deleted in the console."),
}


def tell(callbacks: Sequence[LinkCallback]) -> None:
    """Alerts for events that were not known before; one event is told once, whatever its order."""
    broken = [one for one in callbacks if one.fact.value in BROKEN and one.link_id]
    ending = [one for one in callbacks if one.expires_at and one.expires_at > utcnow()]
    names = _names([one.link_id for one in broken if one.link_id])
    alert([*(_broken(one, names) for one in broken), *(_ending(one) for one in ending)])


def tell_level(reading: QuotaReading) -> None:
    """The balance fell into a worse level with this reading."""
    zh, en = {
        QuotaLevel.LOW: (f"获客助手额度仅剩 {reading.balance}，请及时购买。", f"Only {reading.balance} of the 获客助手 quota are left."),
        QuotaLevel.EXHAUSTED: ("获客助手额度已用完，获客链接已无法添加客户。", "The 获客助手 quota is used up: links add no customers."),
    }[reading.level]  # fmt: skip
    key = f"link_quota:{reading.level}:{reading.at.isoformat()}"
    urgent = reading.level is QuotaLevel.EXHAUSTED
    alert([Alert("link_quota", key, zh, en, operators=True, urgent=urgent)])


def _names(link_ids: Sequence[str]) -> dict[str, str]:
    known = select(AcquisitionLink.link_id, AcquisitionLink.name).where(AcquisitionLink.link_id.in_(link_ids))
    return {link_id: name for link_id, name in session().execute(known) if link_id}


def _broken(one: LinkCallback, names: dict[str, str]) -> Alert:
    zh, en = BROKEN[one.fact.value]
    name = names.get(one.link_id or "", one.link_id)
    return Alert(
        kind=one.fact.value,
        key=f"{one.fact.value}:{one.link_id}:{int(one.at.timestamp())}",
        zh=f"获客链接「{name}」{zh}",
        en=f"The acquisition link “{name}” {en}",
        operators=True,
    )


def _ending(one: LinkCallback) -> Alert:
    assert one.expires_at is not None  # noqa: S101  # tell took care
    day = in_zone(one.expires_at, settings().corp.zone).date()
    return Alert(
        kind="link_quota",
        key=f"link_quota:expires:{int(one.expires_at.timestamp())}:{int(one.at.timestamp())}",
        zh=f"获客助手额度 {one.expiring or ''} 将于 {day} 到期。",
        en=f"{one.expiring or 'Some'} of the 获客助手 quota expire on {day}.",
        operators=True,
    )
