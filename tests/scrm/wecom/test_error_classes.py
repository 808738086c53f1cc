"""Every class of errcode: what happens to the effect, and that it is kept on its row."""

from __future__ import annotations

from datetime import timedelta

import pytest

from scrm.kernel.clock import shifted, utcnow
from scrm.wecom.client import Gateway, wecom
from scrm.wecom.error_table import TABLE
from scrm.wecom.errors import CLASSES, ErrorKind, NotFound, Stop, error_for, kind_of
from scrm.wecom.models import EffectState
from tests.scrm.wecom.conftest import carry_out, due_now, effect, planned

API = "externalcontact/remark"
DOCUMENTED = """-1 6000 40001 40003-40009 40011 40013 40014 40029 40031-40033 40035 40050 40056-40058 40063 40066 40068
40070-40073 40088 40089 40091 40093 40096-40100 40126 40128-40131 40143 41001 41002 41004 41006 41009 41011 41035
41037-41065 41068-41091 41093-41096 42001 42003 42012 42014-42019 42022 42027-42052 43004 43009 43012 44001 44004 45001
45002 45007-45009 45024 45029 45033 46003 46004 48001 48002 48005-48007 48009 49008 50001-50003 50100 60003-60011 60020
60021 60031 60102-60106 60110-60112 60123 60124 60129 60136 60140 60251-60253 80001 81011-81014 81017 82001-82003 84014
84015 84061 84071 84074 84083 84084 86001-86220 90500-90502 90504 90507-90511 93000 93004 93008 95000-95009 95011-95019
95021-95023 95026 95027 95030-95032 301002 301007 301019 301021 301042 301048 301052 301053 301058-301061 610001 610003
610004 610014 610016-610018 701008 701099 830001-830003"""


def _codes():
    for word in DOCUMENTED.split():
        first, _, last = word[1:].partition("-") if word.startswith("-") else word.partition("-")
        if word.startswith("-"):
            yield -int(first)
        else:
            yield from range(int(first), int(last or first) + 1)


def test_every_documented_errcode_has_a_class_and_words_in_both_languages():
    codes = set(_codes())
    assert sorted(codes - set(TABLE)) == []
    for code, row in TABLE.items():
        assert row.kind in CLASSES, code
        assert row.en, code
        assert not row.zh.isascii(), code


def test_what_an_admin_can_mend_names_the_console_page():
    assert all(row.page for row in TABLE.values() if row.kind == ErrorKind.DENIED)


@pytest.mark.parametrize(
    ("kind", "codes"),
    [
        (ErrorKind.NOT_FOUND, [40096, 41044, 84061, 84084, 90501, 90509]),  # what it names is not there
        (ErrorKind.DENIED, [40098, 40143, 41054, 48002, 60020, 84074]),  # an admin mends it
        (
            ErrorKind.STOP,
            [40097, 40099, 40100, *range(40128, 40132), 41055, 41058, 41091, 41095, 90500, 90502, 90504],
        ),
        (ErrorKind.STOP, [90507, 90508, 90510, 90511, 830001, 830002, 830003]),
    ],
)
def test_codes_of_transfers_templates_and_links_are_in_their_class(kind, codes):
    assert {code: kind_of(code) for code in codes} == dict.fromkeys(codes, kind)


def test_each_refusal_of_a_group_transfer_says_its_own_reason():
    said = {code: TABLE[code].en for code in (90500, 90502, 90504, 90507, 90508, 90510, 90511)}
    assert len(set(said.values())) == len(said)


def test_an_errcode_nobody_knows_stops():
    error = error_for("some/api", 123456)
    assert (type(error), error.errcode, kind_of(123456)) == (Stop, 123456, ErrorKind.STOP)
    assert isinstance(error_for("some/api", 84061), NotFound)


def _remark(corp) -> int:
    return planned("remark", {"userid": corp.userid, "external_userid": corp.people[0], "remark": "王总"})


@pytest.mark.parametrize("errcode", [-1, 6000])
def test_retryable_is_tried_again_after_a_pause(corp, errcode):
    corp.control.fault("errcode", api=API, errcode=errcode)
    made = _remark(corp)
    carry_out("remark")
    row = effect(made)
    assert (row.state, row.errcode, row.attempts) == (EffectState.PLANNED, errcode, 1)
    assert timedelta(seconds=1) < row.next_at - utcnow() < timedelta(seconds=4)
    carry_out("remark")
    assert effect(made).attempts == 1  # not before its time
    due_now(made)
    carry_out("remark")
    assert (effect(made).state, effect(made).errcode) == (EffectState.CONFIRMED, None)
    assert len(corp.accepted(API)) == 1


@pytest.mark.parametrize(("errcode", "most"), [(-1, 4), (6000, 5)])
def test_retries_end(corp, heard, errcode, most):
    corp.control.fault("errcode", api=API, errcode=errcode, times=None)
    made = _remark(corp)
    for _ in range(most + 2):
        due_now(made)
        carry_out("remark")
        wecom().get("externalcontact/get_follow_user_list")  # WeCom answers, so it is no outage
    row = effect(made)
    assert (row.state, row.errcode, row.attempts) == (EffectState.FAILED, errcode, most)
    assert [(e.state, e.errcode) for e in heard] == [(EffectState.FAILED, errcode)]
    assert corp.control.log_counts()[API] == {str(errcode): most}


@pytest.mark.parametrize("errcode", [40058, 84061, 60020, 123456])
def test_refusals_fail_at_once_with_the_errcode_kept(corp, heard, errcode):
    corp.control.fault("errcode", api=API, errcode=errcode)
    made = _remark(corp)
    carry_out("remark")
    row = effect(made)
    assert (row.state, row.errcode, row.attempts) == (EffectState.FAILED, errcode, 1)
    assert row.error
    assert heard[0].errcode == errcode


@pytest.mark.parametrize(("errcode", "least", "longest"), [(45009, 60, 95), (45033, 1, 2)])
def test_limits_put_the_effect_off_without_using_up_its_attempts(corp, errcode, least, longest):
    corp.control.fault("errcode", api=API, errcode=errcode, times=None)
    first, second = _remark(corp), _remark(corp)
    carry_out("remark")
    rows = [effect(first), effect(second)]
    assert {row.state for row in rows} == {EffectState.PLANNED}
    assert errcode in {row.errcode for row in rows}
    assert {row.attempts for row in rows} == {0}
    pause = max(row.next_at for row in rows) - utcnow()
    assert timedelta(seconds=least - 1) < pause < timedelta(seconds=longest)


def test_a_closed_api_is_left_alone_by_later_runs_but_its_late_effects_expire(corp):
    corp.control.fault("errcode", api=API, errcode=45009)
    _remark(corp)
    carry_out("remark")
    calls = corp.control.log_counts()[API]
    waiting = _remark(corp)
    late = planned("remark", {}, deadline_at=utcnow() - timedelta(seconds=1))
    carry_out("remark")
    assert (effect(waiting).state, effect(waiting).attempts) == (EffectState.PLANNED, 0)
    assert effect(late).state == EffectState.EXPIRED
    assert corp.control.log_counts()[API] == calls


def test_an_effect_put_off_beyond_its_deadline_expires(corp):
    corp.control.fault("errcode", api=API, errcode=45009, times=None)
    made = planned(
        "remark",
        {"userid": corp.userid, "external_userid": corp.people[0], "remark": "a"},
        deadline_at=utcnow() + timedelta(seconds=5),
    )
    carry_out("remark")
    assert effect(made).next_at == effect(made).deadline_at
    with shifted(timedelta(seconds=6)):
        carry_out("remark")
    assert effect(made).state == EffectState.EXPIRED


def test_42001_once_costs_one_new_token_and_nothing_else(corp):
    corp.control.expire_tokens()
    made = _remark(corp)
    carry_out("remark")
    assert effect(made).state == EffectState.CONFIRMED
    assert len(corp.accepted(API)) == 1
    assert corp.control.log_counts()["gettoken"] == {"0": 2}


def test_42001_for_ever_fetches_at_most_two_tokens_a_minute_and_fails_nothing(corp):
    corp.control.fault("errcode", api=API, errcode=42001, times=None)
    made = [_remark(corp) for _ in range(10)]
    for _ in range(3):
        for one in made:
            due_now(one)
        carry_out("remark")
    assert {(effect(one).state, effect(one).errcode) for one in made} <= {
        (EffectState.PLANNED, 42001),
        (EffectState.PLANNED, None),
    }
    assert corp.control.log_counts()["gettoken"] == {"0": 2}
    corp.control.clear_faults()
    for one in made:
        due_now(one)
    carry_out("remark")
    assert {effect(one).state for one in made} == {EffectState.CONFIRMED}


def test_a_wrong_secret_is_told_and_asked_at_most_twice_a_minute(corp, app):
    app.extensions.pop("scrm_wecom", None)
    corp.control.fault("errcode", api="gettoken", errcode=40001, times=None)
    made = [_remark(corp) for _ in range(5)]
    app.extensions["scrm_redis"].flushdb()
    carry_out("remark")
    assert {effect(one).state for one in made} == {EffectState.PLANNED}  # until somebody mends the secret
    assert 40001 in {effect(one).errcode for one in made}
    assert sum(corp.control.log_counts()["gettoken"].values()) <= 3  # one of the set-up


def test_wecom_out_of_reach_puts_effects_off_without_using_up_attempts(corp, app, settings):
    made = _remark(corp)
    wecom().get("externalcontact/get_follow_user_list")  # there is a token
    away = settings.model_copy(
        update={"wecom": settings.wecom.model_copy(update={"base_url": "http://127.0.0.1:9"})}
    )
    app.extensions["scrm_wecom"] = Gateway(away)
    try:
        carry_out("remark")
    finally:
        app.extensions.pop("scrm_wecom")
    row = effect(made)
    assert (row.state, row.errcode, row.attempts) == (EffectState.PLANNED, None, 0)
    assert "no connection" in row.error
    due_now(made)
    carry_out("remark")
    assert effect(made).state == EffectState.CONFIRMED
