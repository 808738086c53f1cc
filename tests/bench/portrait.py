"""`portrait`: ``GET /api/v1/customers/{id}`` against a bare read by primary key in the same application stack.

Both views authenticate the same bearer key and run in one process on one embedded PostgreSQL, interleaved. The data is
made in SQL: 100,000 customers with one or two follows, groups, tags, counters and 1,000,000 timeline rows.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flask import Flask, jsonify
from flask.testing import FlaskClient
from sqlalchemy import text

from config.logging import configure_logging
from config.settings import Log, load_settings
from scrm.bootstrap import create_app
from scrm.cli.stores import Postgres, Valkey, running
from scrm.customers.models import Customer
from scrm.kernel.apikeys import create_key
from scrm.kernel.db import db, session, transaction
from scrm.kernel.http import api_blueprint
from scrm.kernel.permissions import Permission, needs
from scrm.kernel.schema import upgrade_schema

TARGET_RATIO = 3.0
ROUNDS = 5
REQUESTS = 300  # of each kind in a round
CUSTOMERS, PER_CUSTOMER = 100_000, 10
QUICK_CUSTOMERS, QUICK_REQUESTS = 2_000, 40
STAFF, GROUPS, TAGS = 50, 200, 40


def run(options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Measure; returns one line: median milliseconds of a portrait, of the bare read, and their ratio."""
    quick = bool(options.get("quick"))
    customers, requests = (QUICK_CUSTOMERS, QUICK_REQUESTS) if quick else (CUSTOMERS, REQUESTS)
    with seeded(customers) as client:
        paths = {"portrait": "/api/v1/customers/{}", "bare": "/api/v1/bench-customers/{}"}
        chooser = random.Random(7)
        for path in paths.values():
            _timed(client, path, customers, REQUESTS, chooser)  # warm: plans, caches, imports
        rounds = [
            {name: _timed(client, path, customers, requests, chooser) for name, path in paths.items()}
            for _ in range(ROUNDS)
        ]
    value = statistics.median(one["portrait"] for one in rounds)
    baseline = statistics.median(one["bare"] for one in rounds)
    ratio = statistics.median(one["portrait"] / one["bare"] for one in rounds)
    return [
        {
            "name": "portrait",
            "value": round(value, 3),
            "unit": "ms",
            "baseline": round(baseline, 3),
            "ratio": round(ratio, 2),
            "target": TARGET_RATIO,
            "pass": ratio <= TARGET_RATIO,
        }
    ]


def _timed(client: FlaskClient, path: str, customers: int, requests: int, chooser: random.Random) -> float:
    """Median milliseconds of requests for customers at random."""
    times = []
    for _ in range(requests):
        address = path.format(chooser.randint(1, customers))
        started = time.perf_counter()
        answer = client.get(address)
        times.append(time.perf_counter() - started)
        if answer.status_code != 200 or b"external_userid" not in answer.data:
            raise SystemExit(f"bench portrait: {address} answered {answer.status_code}")
    return statistics.median(times) * 1000


@contextmanager
def seeded(customers: int) -> Iterator[FlaskClient]:
    """A client of an application on its own stores, with ``customers`` customers whose ids begin at 1."""
    with tempfile.TemporaryDirectory(prefix="scrm-bench-", ignore_cleanup_errors=True) as folder:
        postgres = Postgres(Path(folder) / "pg", durable=False)
        valkey = Valkey(Path(folder) / "valkey", durable=False)
        with running(postgres, valkey):
            configure_logging(Log(level="WARNING", format="json"), "bench")
            app = create_app(load_settings(database_url=postgres.url, redis_url=valkey.url))
            _add_bare_view(app)
            with app.app_context():
                upgrade_schema()
                _seed(customers)
                with transaction():
                    _, token = create_key("bench", ["*"])
                db.session.remove()
            client = app.test_client()
            client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
            yield client
            with app.app_context():
                db.engine.dispose()


def _add_bare_view(app: Flask) -> None:
    blueprint = api_blueprint("bench", "the baseline")

    @blueprint.route("/bench-customers/<int:customer_id>")
    @needs(Permission.CUSTOMERS_READ)
    def bare(customer_id: int) -> Any:
        row = session().get_one(Customer, customer_id)
        return jsonify({"id": row.id, "external_userid": row.external_userid, "name": row.name})

    app.register_blueprint(blueprint)


def _seed(customers: int) -> None:
    values = {"customers": customers, "staff": STAFF, "groups": GROUPS, "tags": TAGS, "rows": PER_CUSTOMER}
    for statement in SEED:
        session().execute(text(statement), {k: v for k, v in values.items() if f":{k}" in statement})
    session().commit()
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


SEED = (
    "INSERT INTO staff (userid, name) SELECT 'staff' || n, 'Staff ' || n FROM generate_series(1, :staff) n",
    """INSERT INTO customers (external_userid, name, avatar, type, gender, unionid, refreshed_at)
    SELECT 'wm' || md5(n::text), 'Customer ' || n, 'http://wx.qlogo.invalid/' || n, 1, n % 3, 'o' || md5(n::text), now()
    FROM generate_series(1, :customers) n""",
    """INSERT INTO follows (customer_id, staff_id, added_at, confirmed_at, remark, add_way, state, oper_userid)
    SELECT c.id, 1 + (c.id + k * 7) % :staff, now() - interval '9 days', now(), c.name, 1, 'code' || c.id % 9, 'staff1'
    FROM customers c CROSS JOIN generate_series(0, 1) k WHERE k = 0 OR c.id % 5 = 0""",
    """INSERT INTO customer_groups (chat_id, name, owner_staff_id)
    SELECT 'wr' || n, 'Group ' || n, 1 + n % :staff FROM generate_series(1, :groups) n""",
    """INSERT INTO group_stays (group_id, member_id, member_type, customer_id, joined_at)
    SELECT 1 + (id * 13) % :groups, external_userid, 2, id, now() - interval '3 days' FROM customers WHERE id % 2 = 0""",
    "INSERT INTO tag_groups (wecom_id, name) VALUES ('etg1', 'Stage')",
    "INSERT INTO tags (wecom_id, group_id, name) SELECT 'et' || n, 1, 'Tag ' || n FROM generate_series(1, :tags) n",
    """INSERT INTO tag_assignments (customer_id, follow_id, tag_id, state, changed_at)
    SELECT f.customer_id, f.id, 1 + (f.id + k) % :tags, 'active', now() FROM follows f CROSS JOIN generate_series(0, 1) k""",
    "INSERT INTO tag_sources (assignment_id, source, since) SELECT id, 'wecom', now() FROM tag_assignments",
    """INSERT INTO timeline (at, customer_id, kind, staff_id, details, source_key)
    SELECT now() - make_interval(hours => k * 97), c.id, (ARRAY['message.in', 'message.out', 'follow.added', 'tag.added'])[1 + k % 4],
      1, jsonb_build_object('message_id', k), 'seed:' || k FROM customers c CROSS JOIN generate_series(1, :rows) k""",
    """INSERT INTO customer_counters (customer_id, messages_in, messages_out, last_in_at, entries, last_entry_at)
    SELECT id, 3, 3, now(), :rows, now() FROM customers""",
)
