"""A database that was in use before the gateway (0001) is brought up to date with everything that it holds."""

from __future__ import annotations

import os
from collections.abc import Iterator

import flask_migrate
import psycopg
import pytest
from flask import Flask
from sqlalchemy import text

from scrm.acquisition.jobs import check_all_codes, keep_codes_current
from scrm.acquisition.service.arrivals import note_facts
from scrm.bootstrap import create_app
from scrm.customers.events import ContactFact, ContactRecorded
from scrm.group_entry.jobs import find_missed_joins
from scrm.kernel.clock import utcnow
from scrm.kernel.db import db, session, transaction
from scrm.kernel.jobs import JOBS
from scrm.kernel.schema import schema_differences, schema_revisions, upgrade_schema
from scrm.losses.jobs import fill_losses, tell_losses
from scrm.transfers.jobs import collect_unassigned
from tests.conftest import _postgres, make_settings

NAME = f"scrm_upgraded_{os.getpid()}"  # two pytest workers may be at it at once
BEFORE = """
INSERT INTO departments (id, name) VALUES (1, '示例公司');
INSERT INTO staff (userid, name, status, main_department_id, follows_customers, left_at, told_at) VALUES
  ('anna', '安娜', 1, 1, true, NULL, now()), ('bo', '波', 1, 1, true, NULL, now()),
  ('cai', '蔡', 5, 1, true, now() - interval '2 days', now());
INSERT INTO staff_departments (staff_id, department_id, is_leader) VALUES (1, 1, true), (2, 1, false);
INSERT INTO customers (external_userid, name, refreshed_at)
  SELECT 'wm' || n, '客户' || n, now() FROM generate_series(1, 4) n;
INSERT INTO follows (customer_id, staff_id, half_added_at, added_at, deleted_by_customer_at, add_event_at, state_at, state)
VALUES (1, 1, NULL, now() - interval '3 hours', NULL, now() - interval '3 hours', now() - interval '3 hours', 'ch1'),
  (2, 1, now() - interval '2 hours', NULL, NULL, now() - interval '2 hours', now() - interval '2 hours', 'ch1'),
  (3, 2, NULL, now() - interval '9 days', now() - interval '8 days', NULL, now() - interval '9 days', 'ch1'),
  (4, 3, NULL, now() - interval '9 days', NULL, NULL, NULL, NULL);
INSERT INTO welcome_messages (name, text, attachments, staff_ids) VALUES ('你好', '你好', '[]', '{}');
INSERT INTO channel_codes (name, state, status, config_id, qr_code, staff_ids, tag_ids, welcome_id, contact_type, accepted)
VALUES ('展台', 'ch1', 'active', 'cfg1', 'https://wework.qpic.cn/1', '{1,2}', '{}', 1, 2,
    '{"remark": "", "skip_verify": true, "user": ["anna", "bo"]}'),
  ('新', 'ch2', 'pending', NULL, NULL, '{1}', '{}', NULL, 1, NULL),
  ('旧', 'ch3', 'deleted', NULL, NULL, '{1}', '{}', NULL, 1, NULL);
INSERT INTO effects (kind, key, app, queue, priority, state, payload, subject, errcode, finished_at) VALUES
  ('add_contact_way', 'add_contact_way:channel_code:1:v1', 'main', 'background', 3, 'confirmed', '{}', 'channel_code:1',
    NULL, now()),
  ('remark', 'remark:1', 'main', 'events', 3, 'failed', '{}', NULL, 40003, now()),
  ('mark_tag', 'mark_tag:1', 'main', 'events', 3, 'unknown', '{}', NULL, NULL, NULL),
  ('add_contact_way', 'add_contact_way:channel_code:2:v1', 'main', 'background', 3, 'planned', '{}', 'channel_code:2',
    NULL, NULL);
UPDATE channel_codes SET effect_id = 4 WHERE id = 2;
INSERT INTO channel_adds (follow_id, channel_code_id, at) SELECT id, 1, coalesce(added_at, half_added_at)
  FROM follows WHERE state = 'ch1';
INSERT INTO welcomes (follow_id, code_digest, outcome, event_at, deadline_at, welcome_id) VALUES
  (1, 'd1', 'sent', now() - interval '3 hours', now() - interval '3 hours', 1);
INSERT INTO callback_inbox (digest, app, lane, state, body, received_at) VALUES ('\\x01', 'main', 'events', 'done', '', now());
INSERT INTO customer_groups (chat_id, name, owner_staff_id, refreshed_at) VALUES ('wr1', '群', 1, now());
INSERT INTO group_stays (group_id, member_id, member_type, customer_id, joined_at, state)
  VALUES (1, 'wm1', 2, 1, now(), 'gc1');
INSERT INTO kf_accounts (open_kfid, name) VALUES ('kf1', '客服');
INSERT INTO auto_replies (name, channel, match, keywords, reply_text) VALUES ('价格', 'kf', 'contains', '{价格}', '9 元');
INSERT INTO auto_reply_firings (auto_reply_id, channel, message_key, person, effect_id, fired_at)
  VALUES (1, 'kf', 'm1', 'wm1', 2, now());
"""


@pytest.fixture
def upgraded() -> Iterator[Flask]:
    """An application over a database that came from 0001 with rows in every table that changed since."""
    with psycopg.connect(_postgres().dsn(), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {NAME}")
    app = create_app(make_settings(NAME, 15))
    with app.app_context():
        flask_migrate.upgrade(revision="0001")
        with db.engine.begin() as connection:
            connection.execute(text(BEFORE.replace(":", "\\:")))
        upgrade_schema()
        yield app
        db.session.remove()
        db.engine.dispose()


def rows(statement: str) -> list[tuple[object, ...]]:
    found = [tuple(row) for row in session().execute(text(statement))]
    session().rollback()
    return found


def test_a_database_in_use_is_upgraded_with_what_it_holds(upgraded: Flask) -> None:
    assert len(set(schema_revisions())) == 1
    assert schema_differences() == []
    assert rows("SELECT follow_id, staff_id, kind, counts, lost_by FROM channel_adds ORDER BY 1") == [
        (1, 1, "full", True, None), (2, 1, "half", True, None), (3, 2, "full", True, "customer"),
    ]  # fmt: skip
    assert rows("SELECT id, on_duty, check_at IS NOT NULL FROM channel_codes ORDER BY 1") == [
        (1, [1, 2], True), (2, [1], True), (3, [], False),
    ]  # fmt: skip
    assert rows("SELECT id, parked FROM effects ORDER BY 1") == [
        (1, None),
        (2, None),
        (3, "person"),
        (4, None),
    ]
    assert rows("SELECT channel_code_id FROM welcomes") == [(1,)]
    assert rows(
        "SELECT staff_id FROM channel_duties WHERE channel_code_id = 1 AND until_at IS NULL ORDER BY 1"
    ) == [(1,), (2,)]


def test_the_first_day_after_the_upgrade_asks_wecom_for_nothing_and_tells_nobody_of_old_losses(
    upgraded: Flask,
) -> None:
    before = rows("SELECT id, key FROM effects ORDER BY 1")
    for work in (
        check_all_codes,
        keep_codes_current,
        fill_losses,
        tell_losses,
        find_missed_joins,
        collect_unassigned,
    ):
        work()
    assert rows("SELECT id, key FROM effects ORDER BY 1") == before
    assert rows("SELECT lost_by, found FROM losses") == [("customer", True)]
    assert rows("SELECT kind FROM alerts WHERE kind LIKE 'loss%'") == []
    assert rows("SELECT customer_id FROM unassigned_customers WHERE resolved_at IS NULL") == [(4,)]
    for name, one in JOBS.items():
        if one.due is not None:
            assert one.due() in {True, False}, name
            session().rollback()


def test_who_was_half_added_before_counts_once_when_the_full_add_comes_after(upgraded: Flask) -> None:
    with transaction():
        session().execute(text("UPDATE follows SET added_at = now() WHERE id = 2"))
        note_facts(
            [
                ContactRecorded(
                    follow_id=2, customer_id=2, staff_id=1, fact=ContactFact.ADDED, at=utcnow(), note="ch1"
                )
            ]
        )
    assert rows("SELECT kind, counts FROM channel_adds WHERE follow_id = 2 ORDER BY at") == [
        ("half", True),
        ("full", False),
    ]
