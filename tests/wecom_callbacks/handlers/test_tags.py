"""change_external_tag: every shape of the callbacks."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from scrm.kernel.clock import shifted, utcnow
from scrm.kernel.db import transaction
from tags.jobs import refresh_tags
from tags.models import Tag, TagRefresh
from wecom_callbacks.reasons import Ignored
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


def test_a_second_rename_within_the_second_of_the_callback_is_not_missed(committed, sandbox):
    made = sandbox.create_tags("等级", ["A"])
    tag_id = made["tags"]["A"]
    refresh_tags.func()
    now = utcnow().replace(microsecond=0)
    with shifted(now + timedelta(seconds=0.2) - utcnow()):
        sandbox.edit_tag(tag_id, name="B")
        tell(tag_id, now)
        assert not refresh_tags.due()
        refresh_tags.func()
    sandbox.edit_tag(tag_id, name="C")  # its callback has the same bytes: no row, no wish
    with shifted(now + timedelta(seconds=1.5) - utcnow()):
        assert refresh_tags.due()
        refresh_tags.func()
        assert not refresh_tags.due()
    committed.rollback()
    assert committed.scalars(select(Tag.name).where(Tag.wecom_id == tag_id)).one() == "C"


def tell(tag_id, at):
    load_handlers()
    fields = {"Id": tag_id, "TagType": "tag"}
    with transaction():
        handler_for("change_external_tag", "update")(
            [Callback(1, "main", "change_external_tag", "update", at, fields, False)]
        )


def test_tags_of_rule_groups_say_why_they_are_ignored(session):
    load_handlers()
    batch = [
        Callback(n, "main", "change_external_tag", "create", AT, parse(body, 24), False)
        for n, body in enumerate((TAG, STRATEGY, STRATEGY_ID))
    ]
    with transaction():
        ignored = handler_for("change_external_tag", "create")(batch)
    assert ignored == {1: Ignored.RULE_GROUP_TAG, 2: Ignored.RULE_GROUP_TAG}
