"""What alerts do when something happened."""

from __future__ import annotations

from collections.abc import Sequence

from scrm.alerts import jobs, service
from scrm.alerts.events import UrgentAlerts
from scrm.alerts.service import Alert
from scrm.kernel.clock import in_zone, utcnow
from scrm.kernel.events import subscribe
from scrm.kernel.settings import settings
from scrm.staff.events import StaffMerged
from scrm.wecom.events import CircuitOpened, EffectSettled, EffectsParked

KIND = "staff_message"


@subscribe(UrgentAlerts)
def tell_at_once(events: Sequence[UrgentAlerts]) -> None:
    """Do not wait for the clock."""
    jobs.send_alerts.wake()


@subscribe(EffectSettled)
def settle_messages(events: Sequence[EffectSettled]) -> None:
    """WeCom took or refused messages."""
    ours = [e.effect_id for e in events if e.kind == KIND and e.key.startswith(service.PREFIX)]
    if ours:
        service.settle_messages(ours)


@subscribe(StaffMerged)
def move_alerts(events: Sequence[StaffMerged]) -> None:
    """A member turned out to be one we knew by another userid."""
    service.move_alerts({event.gone_id: event.kept_id for event in events})


@subscribe(EffectsParked)
def tell_of_dead_letters(events: Sequence[EffectsParked]) -> None:
    """Changes that nobody but a person can bring on; once an hour for each kind and reason."""
    hour = f"{utcnow():%Y%m%d%H}"
    found: dict[tuple[str, str], int] = {}
    for event in events:
        place = event.kind, event.reason
        found[place] = found.get(place, 0) + len(event.effect_ids)
    service.alert(
        [_parked(kind, reason, count, hour) for (kind, reason), count in found.items() if kind != KIND]
    )


def _parked(kind: str, reason: str, count: int, hour: str) -> Alert:
    return Alert(
        "effects_parked",
        f"effects_parked:{kind}:{reason}:{hour}",
        f"{count} 个外发动作（{kind}）已搁置，原因：{reason}；请人工处理",
        f"{count} changes at WeCom ({kind}) were put aside: {reason}; somebody has to look at them",
        operators=True,
    )


@subscribe(CircuitOpened)
def tell_of_outages(events: Sequence[CircuitOpened]) -> None:
    """WeCom does not answer; once an hour for each API, and at once."""
    hour = f"{utcnow():%Y%m%d%H}"
    seen = {(event.app, event.api): event for event in events}
    service.alert([_opened(event, hour) for event in seen.values()])


def _opened(event: CircuitOpened, hour: str) -> Alert:
    until = f"{in_zone(event.until, settings().corp.zone):%H:%M:%S}"
    return Alert(
        "circuit_opened",
        f"circuit_opened:{event.app}:{event.api}:{hour}",
        f"企业微信接口 {event.api}（应用 {event.app}）没有应答，已暂停调用，{until} 后重试",
        f"WeCom does not answer at {event.api} (app {event.app}); calls pause until {until}",
        operators=True,
        urgent=True,
    )
