"""The requests of docs/batches.md work one after the other, and the page names every status and type."""

from __future__ import annotations

import re
from pathlib import Path

import orjson

from scrm.behaviour.models import Unknown
from scrm.behaviour.service.checking import PropertyType
from scrm.commerce.models import OrderStatus
from scrm.kernel.batch import MOST_ROWS, RowStatus
from tests.scrm.people.test_guide import LINE

PAGE = (Path(__file__).parents[3] / "docs" / "batches.md").read_text("utf-8")


def test_the_requests_of_the_page_do_what_it_says(api):
    answers = []
    for line in "".join(re.findall(r"```http\n(.*?)```", PAGE, re.DOTALL)).splitlines():
        call = LINE.fullmatch(line)
        body = orjson.loads(call["body"]) if call["body"] else None
        answers.append(api.open(call["path"], method=call["method"], json=body))
    assert {answer.status_code for answer in answers} <= {200, 201}
    batches = [answer.json["results"][0]["status"] for answer in answers if "results" in answer.json]
    assert batches == ["created", "created", "created", "updated", "updated"]
    (order,) = answers[-2].json["items"]
    assert (order["status"], order["refunded_amount"]) == ("refunded", "199.0000")


def test_the_page_names_every_status_and_type():
    names = [str(name) for kind in (OrderStatus, PropertyType, RowStatus, Unknown) for name in kind]
    assert [name for name in names if f"`{name}`" not in PAGE] == []
    assert f"{MOST_ROWS:,} rows" in PAGE
