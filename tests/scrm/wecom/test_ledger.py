from __future__ import annotations

from scrm.kernel.db import session, transaction
from scrm.kernel.events import subscribe, subscribers
from scrm.wecom.effects import Intent, cancel, plan
from scrm.wecom.events import EffectSettled
from scrm.wecom.models import Effect, EffectState
from tests.scrm.wecom.conftest import carry_out, effect, planned


def test_a_planned_tag_reaches_wecom_once_and_is_confirmed(corp):
    vip = corp.tag_ids("VIP")
    made = planned(
        "mark_tag", {"userid": corp.userid, "external_userid": corp.people[0], "add_tag": vip, "remove_tag": []}
    )
    carry_out("mark_tag")
    carry_out("mark_tag")
    row = effect(made)
    assert (row.state, row.errcode, row.result, row.attempts) == (EffectState.CONFIRMED, None, {}, 1)
    assert row.lease_token is None
    assert row.finished_at >= row.sent_at >= row.created_at
    assert len(corp.accepted("externalcontact/mark_tag")) == 1
    assert corp.tags_of(corp.people[0]) == set(vip)
