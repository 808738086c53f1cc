"""How value is worked out: what the company set, or the defaults."""

from __future__ import annotations

from typing import Any

from sqlalchemy import exists, or_, select

from scrm.kernel.db import session
from scrm.value.models import Method, ValueSettings

RFM: dict[str, Any] = {
    "method": Method.QUANTILE.value,
    "window_days": 365,
    "currency": "CNY",
    "recency_cuts": [30, 60, 120, 240],
    "frequency_cuts": [2, 3, 5, 10],
    "monetary_cuts": ["200", "500", "1000", "5000"],
}


def stage(key: str, zh: str, en: str, **rule: Any) -> dict[str, Any]:
    """A stage whose missing bounds are open and that can be come into from anywhere."""
    bounds = {"orders_min": 0, "orders_max": None, "days_min": None, "days_max": None, "enters_from": None}
    return {"key": key, "name_zh": zh, "name_en": en, **bounds, **rule}


STAGES: list[dict[str, Any]] = [
    stage("lead", "潜客", "lead", orders_max=0),
    stage("lost", "流失", "lost", orders_min=1, days_min=181),
    stage("at_risk", "流失预警", "at risk", orders_min=1, days_min=91),
    stage("first_purchase", "首购", "first purchase", orders_min=1, orders_max=1),
    stage("repeat", "复购", "repeat", orders_min=2, orders_max=4),
    stage("loyal", "忠诚", "loyal", orders_min=5),
]


def rfm_settings() -> dict[str, Any]:
    """Window, currency and cut-points of RFM."""
    row = session().get(ValueSettings, 1, populate_existing=True)
    return RFM if row is None or row.rfm is None else row.rfm


def stages() -> list[dict[str, Any]]:
    """The stages, in the order in which they are tried."""
    row = session().get(ValueSettings, 1, populate_existing=True)
    return STAGES if row is None or row.stages is None else row.stages


def settings_due() -> bool:
    """Whether settings changed that are not worked in."""
    row = ValueSettings
    late = or_(row.applied_at.is_(None), row.applied_at < row.changed_at)
    return bool(session().scalar(select(exists().where(late))))
