"""Members of a static audience from a file."""

from __future__ import annotations

import io

from sqlalchemy import text

from scrm.kernel.db import session as current_session
from scrm.kernel.db import transaction
from scrm.people.service.identity import Identity
from scrm.people.service.resolving import resolve
from tests.scrm.audiences.conftest import listing, members, world  # noqa: F401  # fixtures


def named(world, phone):  # noqa: F811
    """A customer whose person has this phone."""
    customer = world.customer()
    with transaction():
        (person,) = resolve([[Identity("phone", phone)]], "crm")
        current_session().execute(
            text(
                "INSERT INTO customer_people VALUES (:c, :p) ON CONFLICT (customer_id) DO UPDATE SET person_id = :p"
            ),
            {"c": customer.id, "p": person},
        )
    return customer


def test_customers_of_a_file_come_onto_a_list_and_go_again(imports, api, world, listing):  # noqa: F811
    here, new = named(world, "13912345678"), named(world, "13912345679")
    list_id = listing("会员日", here)
    given = [["13912345678"], ["13912345679"], ["13912345670"], ["+86 13912345679"]]
    found = imports.run("audience", ["手机"], given, constants={"audience": list_id})
    assert found.tried["tally"] == found.done["done"] == {"new": 1, "unchanged": 1, "error": 2}
    wrong = {one["row"]: one["problems"] for one in imports.rows(found.id, "error")}
    assert "no customer" in wrong[4]["手机"]
    assert "row 3" in str(wrong[5])
    assert members(api, list_id) == {here.id, new.id}
    assert imports.step(found.id, "undo")["undo"]["conflicts"] == 0
    assert members(api, list_id) == {here.id}


def test_what_is_no_list_is_refused_and_one_that_is_archived_stops_the_import(imports, api, world, listing):  # noqa: F811
    made = imports.upload("audience", io.BytesIO("手机\n13912345678\n".encode()))
    answer = imports.map(made["id"], constants={"audience": 999}, status=422)
    assert "audience" in answer["fields"]
    named(world, "13912345678")
    list_id = listing("会员日")
    imports.map(made["id"], constants={"audience": list_id})
    imports.step(made["id"], "dry-run")
    assert api.post(f"/api/v1/audiences/{list_id}/archive").status_code == 200
    stopped = imports.step(made["id"], "start")
    assert stopped["state"] in ("ready", "cancelled")
    assert "audience" in stopped["error"]
