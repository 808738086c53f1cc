"""A call that left and got no answer: asked about, never simply sent again; compared with the sandbox's own log."""

from __future__ import annotations

from datetime import timedelta

import pytest

from scrm.kernel.clock import shifted, utcnow
from scrm.kernel.db import session, transaction
from scrm.wecom.models import Effect, EffectState
from tests.scrm.wecom.conftest import call, carry_out, due_now, effect, planned

ANSWERS_LOST = ("truncate", "timeout_after_success")
NEVER_TAKEN = ("hang", "html", "disconnect")


@pytest.fixture(autouse=True)
def _short_timeouts(corp, app, settings):
    """Answers are waited for half a second."""
    from scrm.wecom.client import Gateway

    wecom = settings.wecom.model_copy(update={"read_timeout_seconds": 0.5})
    app.extensions["scrm_wecom"] = Gateway(settings.model_copy(update={"wecom": wecom}))
    yield
    app.extensions.pop("scrm_wecom")


def settle(made: int, kind: str, rounds: int = 6, shift: timedelta = timedelta()) -> Effect:
    """Run the lane until the effect is final or rounds are over."""
    for _ in range(rounds):
        with shifted(shift):
            carry_out(kind)
        row = effect(made)
        if row.finished_at:
            return row
        due_now(made)
    return row


def lose_answer(corp, fault: str, api: str) -> None:
    corp.control.fault(fault, api=api, seconds=1.0)


@pytest.mark.parametrize("fault", [*ANSWERS_LOST, *NEVER_TAKEN])
def test_a_tag_mark_without_an_answer_happens_exactly_once(corp, fault):
    api, vip = "externalcontact/mark_tag", corp.tag_ids("VIP")
    lose_answer(corp, fault, api)
    made = planned(
        "mark_tag", {"userid": corp.userid, "external_userid": corp.people[0], "add_tag": vip, "remove_tag": []}
    )
    carry_out("mark_tag")
    assert effect(made).state == EffectState.UNKNOWN
    corp.control.clear_faults()
    due_now(made)
    row = settle(made, "mark_tag")
    assert row.state == EffectState.CONFIRMED
    assert len(corp.accepted(api)) == 1
    assert corp.tags_of(corp.people[0]) == set(vip)
