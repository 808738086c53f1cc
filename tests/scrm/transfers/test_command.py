"""`scrm transfers`: what the command shows, as its own process."""

from __future__ import annotations

import json
import os
from datetime import timedelta

import pytest

from scrm.kernel.clock import utcnow
from scrm.kernel.db import transaction
from scrm.kernel.permissions import Scope
from scrm.transfers.models import Matter, PlanKind
from scrm.transfers.service.activation import activate_plan
from scrm.transfers.service.plans import create_plan
from tests import nursery
from tests.scrm.broadcasts.population import follow, make_customers, make_staff
from tests.scrm.transfers.conftest import PERSON, rule


@pytest.fixture
def command(committed, settings):
    """Run ``scrm transfers`` on this test's database."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("SCRM_")}
    main = settings.apps["main"]
    own = {
        "SCRM_DATABASE_URL": settings.database_url.get_secret_value(),
        "SCRM_REDIS_URL": settings.redis_url.get_secret_value(),
        "SCRM_VAR_DIR": str(settings.var_dir),
        "SCRM_CORP__ID": settings.corp.id,
        "SCRM_APPS__MAIN__AGENT_ID": str(main.agent_id),
        "SCRM_APPS__MAIN__SECRET": main.secret.get_secret_value(),
        "SCRM_APPS__MAIN__TOKEN": main.token.get_secret_value(),
        "SCRM_APPS__MAIN__AES_KEY": main.aes_key.get_secret_value(),
    }

    def run(*arguments: str) -> str:
        done = nursery.run(["transfers", *arguments], {**clean, **own})
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_plans_and_who_is_unassigned_are_shown(command, committed):
    ann, bob = make_staff(committed, "ann", "bob")
    for customer in make_customers(committed, "wm1", "wm2"):
        follow(committed, ann, customer)
    ann.left_at = utcnow() - timedelta(days=2)
    committed.commit()
    with transaction():
        data = {
            "kind": PlanKind.RESIGNED,
            "from_staff_id": ann.id,
            "matter": Matter.CUSTOMERS,
            "copy_tags": False,
        }
        plan = create_plan({**data, "rule": rule(bob)}, PERSON)
        activate_plan(plan.id, Scope.all())
    (shown,) = json.loads(command("list", "--json"))
    assert (shown["id"], shown["state"], shown["items"], shown["open"]) == (plan.id, "active", 2, 2)
    detail = json.loads(command("show", str(plan.id), "--json"))
    assert detail["preview"]["receivers"][0]["userid"] == "bob"
    (left,) = json.loads(command("unassigned", "--json"))
    assert (left["userid"], left["age_days"], left["customers_planned"]) == ("ann", 2, 2)
