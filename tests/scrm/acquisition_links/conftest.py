"""Links in the sandbox, and people who come through them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from scrm.customers.service.recording import Add, record_adds
from scrm.kernel.clock import utcnow
from scrm.kernel.db import transaction
from scrm.staff.service.naming import ensure_staff
from scrm.wecom.jobs import carry_out_background, carry_out_events, carry_out_urgent
from tags.models import Tag, TagGroup

URL = "/api/v1/acquisition-links"


def carry_out() -> None:
    """What the workers do with planned effects."""
    for job in (carry_out_urgent, carry_out_events, carry_out_background):
        job()


@dataclass
class Company:
    """A corp with three members."""

    sandbox: Any
    api: Any
    userids: list[str]
    staff: list[int]

    def link(self, **values: Any) -> dict[str, Any]:
        """A link that WeCom accepted."""
        answer = self.api.post(URL, json={"name": "投放", "staff_ids": self.staff[:1], **values})
        assert answer.status_code == 201, answer.json
        carry_out()
        return self.show(answer.json["id"])

    def show(self, id_: int) -> dict[str, Any]:
        return self.api.get(f"{URL}/{id_}").json

    def change(self, id_: int, **values: Any) -> dict[str, Any]:
        answer = self.api.patch(f"{URL}/{id_}", json=values)
        assert answer.status_code == 200, answer.json
        carry_out()
        return self.show(id_)

    def channel(self, link: dict[str, Any], **values: Any) -> dict[str, Any]:
        answer = self.api.post(f"{URL}/{link['id']}/channels", json={"name": "抖音", **values})
        assert answer.status_code == 201, answer.json
        return answer.json

    def visit(self, url: str, **how: Any) -> dict[str, Any]:
        """Somebody comes through an address; an add is recorded as its callback tells it."""
        (told,) = self.sandbox.visit_link(url=url, **how)
        if told["added"]:
            state = self._state(told)
            self.added(told, state)
        return told

    def _state(self, told: dict[str, Any]) -> str | None:
        for link_id in self.sandbox.state_ids("acquisition_link"):
            for row in self.sandbox.state("acquisition_link", link_id)["customers"]:
                if (row["userid"], row["external_userid"]) == (told["userid"], told["external_userid"]):
                    return row["state"]
        return None

    def added(self, told: dict[str, Any], state: str | None, at: datetime | None = None) -> int:
        with transaction():
            (follow,) = record_adds(
                [Add(told["userid"], told["external_userid"], at or utcnow(), False, state)]
            ).values()  # fmt: skip
        return follow

    def truth(self, link: dict[str, Any]) -> dict[str, Any]:
        """The link as WeCom holds it."""
        return self.sandbox.state("acquisition_link", link["link_id"])

    def calls(self) -> dict[str, int]:
        """Calls that change links, by name."""
        counts = self.sandbox.log_counts()
        names = ("create_link", "update_link", "delete_link")
        folder = "externalcontact/customer_acquisition"
        return {n: sum(found.values()) for n in names if (found := counts.get(f"{folder}/{n}"))}


@pytest.fixture
def api(committed, api_with):
    """A client with every permission; commits are real, because readings hold an advisory lock."""
    return api_with()


@pytest.fixture
def company(api, sandbox) -> Company:
    sandbox.population(members=3, customers=0, kf_accounts=0)
    userids = sandbox.state_ids("member")
    with transaction():
        ids = ensure_staff(userids)
    return Company(sandbox, api, userids, [ids[userid.casefold()] for userid in userids])


@pytest.fixture
def tag(committed):
    """Makes tags that WeCom knows already."""
    group = TagGroup(wecom_id="etgroup", name="来源")
    committed.add(group)
    committed.flush()

    def make(name: str) -> int:
        made = Tag(wecom_id=f"et{name}", group_id=group.id, name=name)
        committed.add(made)
        committed.commit()
        return made.id

    return make
