"""The requests in docs/people.md work, one after the other, and do what the page says."""

import re
from pathlib import Path

import orjson
import pytest

from scrm.people import jobs

PAGE = Path(__file__).parents[3] / "docs" / "people.md"
LINE = re.compile(
    r"(?P<method>[A-Z]+) +(?P<path>\S+)(?: (?P<body>\{.*\}))?(?: → (?P<key>\w+) (?P<number>\d\d))?"
)
NUMBER = re.compile(r"(?<=[/ =])[5-8]\d(?=[/,}]|$)")


def named(answer, key):
    """The first value of this name anywhere in an answer."""
    if isinstance(answer, dict) and key in answer:
        return answer[key]
    inside = answer.values() if isinstance(answer, dict) else answer if isinstance(answer, list) else ()
    return next((found for one in inside if (found := named(one, key)) is not None), None)


@pytest.fixture
def answers(api):
    """Every request of the page sent in its order, workers going on after each: the last answer of each line."""
    ids, answers = {}, {}
    for line in "".join(re.findall(r"```http\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)).splitlines():
        call = LINE.fullmatch(line)
        assert call, line
        path, body = (NUMBER.sub(lambda n: str(ids[n[0]]), call[part] or "") for part in ("path", "body"))
        answer = api.open(path, method=call["method"], json=orjson.loads(body) if body else None)
        assert 200 <= answer.status_code < 300, (line, answer.get_data(as_text=True))
        if call["number"]:
            found = named(answer.get_json(), call["key"])
            assert ids.setdefault(call["number"], found) == found is not None, line
        answers.setdefault(re.sub(r" +", " ", line.split("{")[0].split("→")[0]).strip(), []).append(
            answer.get_json(silent=True)
        )
        jobs.merge_matched()
        jobs.clean_values()
    return answers | {"ids": ids}


def test_the_requests_of_the_guide_do_what_it_says(answers):
    ids = answers["ids"]
    assert (
        answers["GET /api/v1/people/52"][0]["id"] == ids["51"]
    )  # the number of a merged person still answers
    assert ids["53"] not in {ids["51"], ids["52"]}
    (pair,) = answers["GET /api/v1/people/matches?state=accepted&kind=shared"][0]["items"]
    assert {pair["low_id"], pair["high_id"]} == {ids["52"], ids["53"]}
    (merge,) = answers["GET /api/v1/people/merges?person_id=53"][0]["items"]
    assert (merge["gone_id"], merge["by"]) == (ids["52"], "matching")
    (said,) = answers["GET /api/v1/people/51/fields/locker/values"][0]["items"]
    assert (said["value"], said["source"]) == ("A17", "staff")
    asked = [question["key"] for question in answers["GET /api/v1/people/51/quality"][0]["questions"]]
    assert asked == ["phone", "gender"]
    ready, done, undone = answers["GET /api/v1/people/cleaning-runs/81"]
    assert [run["state"] for run in (ready, done, undone)] == ["ready", "done", "undone"]
    assert [problem["field"] for problem in ready["problems"]] == ["locker"]
    (item,) = answers["GET /api/v1/people/cleaning-runs/81/items"][0]["items"]
    assert (item["before"], item["after"]) == ("A17", None)
    (shown,) = answers["PUT /api/v1/people/51/consents/sms"]
    assert [(one["channel"], one["contactable"]) for one in shown["consents"]] == [("sms", False)]
    standing = {field["key"]: field["value"] for field in shown["fields"]}
    assert standing["locker"] == "A17"  # the undo gave it back
    assert standing["email"] == "Wang.Fang@example.com"


def test_the_guide_names_every_type_rule_kind_and_problem():
    from scrm.people.queries.fields import BUILT_IN, FieldType, Survivorship
    from scrm.people.queries.quality import Neglect
    from scrm.people.service.identity import IdentityKind

    page = PAGE.read_text("utf-8")
    names = {str(n) for kind in (FieldType, Survivorship, Neglect, IdentityKind) for n in kind}
    assert sorted(n for n in names | {spec.key for spec in BUILT_IN} if f"`{n}`" not in page) == []
    for rule in Survivorship:
        row = next(line for line in page.splitlines() if line.startswith(f"| `{rule}` |"))
        assert set(row.split("|")[3].replace(" ", "").split(",")) == {
            spec.key for spec in BUILT_IN if spec.survivorship is rule
        }
