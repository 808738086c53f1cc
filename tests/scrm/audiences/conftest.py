"""People, audiences and the API for tests of audiences."""

from __future__ import annotations

import pytest

from tests.tags.conftest import make_world, rule_limits  # noqa: F401  # a fixture

V1 = "/api/v1"
NAMED = {"kind": "field", "field": "customer.name", "op": "equals"}


def named(name):
    """A condition on the customer's name."""
    return {**NAMED, "value": name}


def within(*audience_ids, match="any"):
    """The leaf that asks for audiences."""
    return {"kind": "in_audience", "audience_ids": list(audience_ids), "match": match}


def call(api, method, path, body=None, status=200, **headers):
    """The answer of the API, whose status must be ``status``."""
    answer = getattr(api, method)(V1 + path, json=body, headers=headers)
    assert answer.status_code == status, answer.get_data(as_text=True)
    return answer.get_json(silent=True)


def members(api, audience_id):
    """Ids of the customers who belong, as the API says."""
    return {each["customer_id"] for each in call(api, "get", f"/audiences/{audience_id}/members")["items"]}


@pytest.fixture
def world(session):
    return make_world()


@pytest.fixture
def tree(api, world):
    """tree("name", condition) -> id of a new audience with that condition."""

    def make(name, condition):
        return call(api, "post", "/audiences", {"name": name, "condition": condition}, 201)["id"]

    return make


@pytest.fixture
def listing(api, world):
    """listing("name", customer, ...) -> id of a new list with these customers."""

    def make(name, *customers):
        made = call(api, "post", "/audiences", {"name": name, "kind": "static"}, 201)["id"]
        if customers:
            rows = [{"customer_id": each.id} for each in customers]
            call(api, "post", f"/audiences/{made}/members:add", {"customers": rows})
        return made

    return make
