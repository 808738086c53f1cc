"""Cursors that nobody got from us."""

import pytest

from scrm.kernel.paging import encode_cursor
from tests.scrm.audiences.conftest import named


@pytest.mark.parametrize("place", [0, -1, -(2**40), 2**62])
def test_a_made_up_cursor_of_members_is_no_defect(api, world, tree, place):
    world.customer(name="王")
    id_ = tree("王", named("王"))
    answer = api.get(f"/api/v1/audiences/{id_}/members?cursor={encode_cursor(place)}")
    assert answer.status_code == 200, answer.json
    assert len(answer.json["items"]) == (place > 0)
