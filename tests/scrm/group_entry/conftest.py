"""Groups in the sandbox, read into our tables, with codes in front of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import select

from scrm.groups import jobs as group_jobs
from scrm.groups.models import CustomerGroup
from scrm.groups.service.details import want_groups
from scrm.kernel.db import session as current_session
from scrm.kernel.db import transaction
from scrm.wecom.jobs import carry_out_background, carry_out_events, carry_out_urgent

CALLS = ("groupchat/add_join_way", "groupchat/update_join_way", "groupchat/del_join_way")


def carry_out() -> None:
    """What the workers do with planned effects."""
    for job in (carry_out_urgent, carry_out_events, carry_out_background):
        job()


@dataclass
class Company:
    """A corp with one or more owners of groups."""

    sandbox: Any
    api: Any
    userids: list[str]

    def group(self, owner: int = 0, **more: Any) -> int:
        """A new group, read from WeCom; its id."""
        chat_id = self.sandbox.create_group(self.userids[owner], [], **more)["chat_id"]
        self.read(chat_id)
        return self.id_of(chat_id)

    def read(self, *chat_ids: str) -> None:
        """Read groups from WeCom, as the callback of a change has it done."""
        with transaction():
            want_groups(chat_ids)
        group_jobs.refresh_groups()
        carry_out()

    def id_of(self, chat_id: str) -> int:
        return current_session().scalars(
            select(CustomerGroup.id).where(CustomerGroup.chat_id == chat_id)
        ).one()  # fmt: skip

    def chat(self, group_id: int) -> str:
        return current_session().scalars(
            select(CustomerGroup.chat_id).where(CustomerGroup.id == group_id)
        ).one()  # fmt: skip

    def code(self, *group_ids: int, **values: Any) -> dict[str, Any]:
        """A code over these groups that WeCom accepted."""
        body = {"name": "地推", "groups": [{"group_id": id_} for id_ in group_ids], **values}
        answer = self.api.post("/api/v1/group-codes", json=body)
        assert answer.status_code == 201, answer.json
        carry_out()
        return self.show(answer.json["id"])

    def show(self, code_id: int) -> dict[str, Any]:
        return self.api.get(f"/api/v1/group-codes/{code_id}").json

    def change(self, code_id: int, **values: Any) -> dict[str, Any]:
        answer = self.api.patch(f"/api/v1/group-codes/{code_id}", json=values)
        assert answer.status_code == 200, answer.json
        carry_out()
        return self.show(code_id)

    def scan(self, code: dict[str, Any], **person: Any) -> list[dict[str, Any]]:
        """People scan the code; the groups they come into are read."""
        people = self.sandbox.scan_group(config_id=code["config_id"], **person)
        self.read(*dict.fromkeys(one["chat_id"] for one in people))
        return people

    def way(self, code: dict[str, Any]) -> dict[str, Any]:
        """The join way as WeCom holds it."""
        return self.sandbox.state("join_way", code["config_id"])["settings"]

    def calls(self) -> dict[str, int]:
        counts = self.sandbox.log_counts()
        return {
            name.removeprefix("groupchat/"): sum(found.values())
            for name in CALLS
            if (found := counts.get(f"externalcontact/{name}"))
        }


@pytest.fixture
def api(committed, api_with):
    """A client with every permission; commits are real, because groups are read under an advisory lock."""
    return api_with()


@pytest.fixture
def company(api, sandbox) -> Company:
    """Two members who own groups."""
    sandbox.population(members=2, customers=0, kf_accounts=0)
    return Company(sandbox, api, sandbox.state_ids("member"))
