"""change_external_tag: every shape of the callbacks."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from scrm.kernel.db import transaction
from tags.models import TagRefresh
from wecom_callbacks.registry import Callback, handler_for, load_handlers
from wecom_callbacks.xml import parse

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
TAG = b"<xml><Id><![CDATA[etAAA]]></Id><TagType><![CDATA[tag]]></TagType></xml>"
GROUP = b"<xml><Id><![CDATA[etGRP]]></Id><TagType><![CDATA[tag_group]]></TagType></xml>"
SHUFFLED = b"<xml><Id><![CDATA[etGRP]]></Id></xml>"
ALL_SHUFFLED = b"<xml><Id><![CDATA[]]></Id></xml>"
STRATEGY = b"<xml><Id>etAAA</Id><TagType>tag</TagType><StrategyId>1</StrategyId></xml>"
STRATEGY_ID = b"<xml><Id>stAAA</Id><TagType>tag</TagType></xml>"


def handle(change, *bodies):
    load_handlers()
    batch = [
        Callback(1, "main", "change_external_tag", change, AT, parse(body, 24), False) for body in bodies
    ]
    with transaction():
        handler_for("change_external_tag", change)(batch)


@pytest.mark.parametrize(
    ("change", "body", "wanted"),
    [
        ("create", TAG, [("etAAA", "tag", False)]),
        ("create", GROUP, [("etGRP", "tag_group", False)]),
        ("update", TAG, [("etAAA", "tag", False)]),
        ("delete", GROUP, [("etGRP", "tag_group", True)]),
        ("shuffle", SHUFFLED, [("etGRP", "tag_group", False)]),
        ("shuffle", ALL_SHUFFLED, [("", "everything", False)]),
        ("create", STRATEGY, []),
        ("update", STRATEGY_ID, []),
    ],
)
def test_every_shape_asks_for_the_present_state(session, change, body, wanted):
    handle(change, body, body)
    rows = session.execute(select(TagRefresh.wecom_id, TagRefresh.kind, TagRefresh.gone)).all()
    assert [tuple(row) for row in rows] == wanted


def test_that_a_tag_was_deleted_is_not_forgotten_by_an_older_event(session):
    handle("delete", TAG)
    handle("update", TAG)
    assert session.scalars(select(TagRefresh.gone)).all() == [True]
