"""A customer whose name PostgreSQL cannot hold does not keep a company from being synced."""

from scrm.sync.models import RunState
from tests.scrm.sync.conftest import relations, sync


def test_a_name_with_a_nul_is_kept_without_it(corp, committed):
    corp.add(corp.state_ids("member")[0], name="甲\x00乙")
    assert sync().state is RunState.DONE
    assert "甲乙" in {customer.name for customer, _ in relations(committed).values()}
