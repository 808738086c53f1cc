from __future__ import annotations

from scrm.wecom.client import wecom


def test_a_call_gets_its_token_and_the_decoded_answer(app, sandbox):
    with app.app_context():
        sandbox.population(members=3, customers=2)
        answer = wecom().get("externalcontact/get_follow_user_list")
    assert answer["errcode"] == 0
    assert len(answer["follow_user"]) == 3
    assert sandbox.log_counts()["gettoken"] == {"0": 1}
