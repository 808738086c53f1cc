"""The whole deployment: counts stay right while workers die in the middle of a patch and Redis is emptied."""

import json

import pytest
import requests

from tests.stack import Stack, wait_until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(120)]

WORKER = "worker:background"
TAG = {"kind": "has_tag", "tag_ids": [1]}
ROWS = """
INSERT INTO staff (id, userid) OVERRIDING SYSTEM VALUE VALUES (900, 'anna');
INSERT INTO customers (id, external_userid) OVERRIDING SYSTEM VALUE SELECT n, 'wx' || n FROM generate_series(1001, 1005) n;
INSERT INTO follows (id, customer_id, staff_id, added_at) OVERRIDING SYSTEM VALUE
  SELECT n, n, 900, now() FROM generate_series(1001, 1005) n;
INSERT INTO tag_groups (id, name) OVERRIDING SYSTEM VALUE VALUES (1, 'g');
INSERT INTO tags (id, group_id, name) OVERRIDING SYSTEM VALUE VALUES (1, 1, 't')"""
GIVE = "INSERT INTO tag_assignments (customer_id, follow_id, tag_id, state, changed_at) VALUES (%s, %s, 1, 'active', now())"
BITS = "scrm:sets:set:*"


def test_counts_stay_right_whatever_dies():
    with Stack(("web",)) as stack:
        for statement in ROWS.split(";"):
            stack.sql(statement)
        token = json.loads(stack.run("apikey", "create", "t", "--scope", "rules:read", "--json").stdout)[
            "token"
        ]
        http = requests.Session()
        http.headers["Authorization"] = f"Bearer {token}"

        def count(tree):
            answer = http.post(f"{stack.url}/api/v1/conditions/count", json={"condition": tree}).json()
            return answer["count"]

        def moments():
            client = stack.redis()
            return [float(client.hget(key, "as_of")) for key in client.scan_iter(BITS)]

        stack.sql(GIVE, 1001, 1001)
        assert count(TAG) == 1
        written = max(moments())
        stack.sql(GIVE, 1002, 1002)
        stack.start(WORKER, SCRM_CRASH_AT="sets_patched")
        stack.start("clock")
        assert stack.wait_end(WORKER) != 0, "the worker died between asking and writing"
        stack.kill("clock")
        assert max(moments()) == written, "half a patch is no patch"
        assert (count(TAG), count({"not": TAG})) == (2, 3)

        stack.redis().flushall()
        stack.sql(GIVE, 1003, 1003)
        assert (count(TAG), count({"not": TAG})) == (3, 2)
        stack.kill("web")
        stack.start("web")
        stack.wait_web()
        stack.sql(GIVE, 1004, 1004)
        assert (count(TAG), count({"not": TAG})) == (4, 1), "a fresh process, from what Redis has by now"

        stack.sql("DELETE FROM tag_assignments WHERE customer_id = 1001")
        before = max(moments())
        stack.start(WORKER)
        stack.start("clock")
        wait_until(lambda: min(moments(), default=0) > before, 60)
        listed = json.loads(stack.run("sets", "--limit", "9999", "--json").stdout)["sets"]
        assert {each["leaf"]: each["customers"] for each in listed}['{"kind":"has_tag","tag_ids":[1]}'] == 3
