"""The whole deployment: a code from its making to its backup, with workers that die on the way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.stack import Stack, wait_until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(240)]
SECONDS = 60


class Api:
    """Calls of the deployment's API with a key for everything."""

    def __init__(self, stack: Stack) -> None:
        self.url = f"{stack.url}/api/v1/channel-codes"
        self.http = requests.Session()
        token = stack.run("apikey", "create", "test", "--scope", "*").stdout.splitlines()[0]
        self.http.headers["Authorization"] = f"Bearer {token}"

    def make(self, **values: Any) -> int:
        answer = self.http.post(self.url, json=values, timeout=10)
        assert answer.status_code == 201, answer.text
        return int(answer.json()["id"])

    def code(self, code_id: int) -> dict[str, Any]:
        shown: dict[str, Any] = self.http.get(f"{self.url}/{code_id}", timeout=10).json()
        return shown


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack() as running:
        running.control.population(members=3, kf_accounts=0)
        wait_until(lambda: running.sql("SELECT count(*) FROM staff WHERE name <> ''")[0][0] == 3, SECONDS)
        yield running


def test_a_cap_hands_over_to_the_backup_once_although_workers_die(stack: Stack) -> None:
    api = Api(stack)
    ids = dict(stack.sql("SELECT userid, id FROM staff ORDER BY id"))
    (first, first_id), (second, second_id) = list(ids.items())[:2]
    code_id = api.make(
        name="展会",
        staff_ids=[first_id],
        backup_staff_ids=[second_id],
        daily_cap=2,
        remark_rule="{name}-{code}",
    )
    wait_until(lambda: api.code(code_id)["qr_content"] is not None, SECONDS, lambda: str(api.code(code_id)))
    config_id = api.code(code_id)["config_id"]

    def users() -> list[str]:
        found: list[str] = stack.control.state("contact_way", config_id)["settings"]["user"]
        return found

    assert users() == [first]
    picture = api.http.get(f"{api.url}/{code_id}/qr.svg", timeout=10)
    assert picture.status_code == requests.codes.ok
    stack.control.scan(config_id=config_id, half="full", name="张三")
    stack.kill("worker:events")
    stack.control.scan(config_id=config_id, half="full", name="李四")
    stack.start("worker:events", SCRM_CRASH_AT="after_claim")
    stack.wait_end("worker:events", SECONDS)
    stack.sql("UPDATE effects SET lease_until = now() WHERE lease_until > now()")
    stack.sql("UPDATE callback_inbox SET lease_until = now() WHERE lease_until > now()")
    stack.start("worker:events")
    wait_until(lambda: users() == [second], SECONDS, lambda: str(api.code(code_id)))
    stack.wait_drained()
    shown = api.code(code_id)
    assert (shown["adds"], shown["on_duty"], shown["duty_reason"]) == (2, [second_id], "backup")
    assert len(stack.control.log("externalcontact/update_contact_way", everything=True)) == 1
    assert len(stack.control.log("externalcontact/add_contact_way", everything=True)) == 1
    remarks = stack.control.log("externalcontact/remark", everything=True)
    wait_until(
        lambda: len(stack.control.log("externalcontact/remark", everything=True)) == 2,
        SECONDS,
        lambda: str(remarks),
    )
    stack.wait_drained()
    told = {call["body"]["remark"] for call in stack.control.log("externalcontact/remark", everything=True)}
    assert told == {"张三-展会", "李四-展会"}
