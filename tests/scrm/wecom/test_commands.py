"""`scrm effects` and `scrm limits` on a real ledger, run in this process."""

from __future__ import annotations

import json
import logging
from datetime import timedelta

import pytest
import structlog
from sqlalchemy import update

from config.settings import current_settings
from scrm.cli.main import program
from scrm.cli.main import run as run_command
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session as db_session
from scrm.kernel.db import transaction
from scrm.wecom.models import Effect, EffectState, Parked
from tests.conftest import FOLDER
from tests.scrm.wecom.conftest import effect, planned


@pytest.fixture
def scrm(committed, process_env, capsys, monkeypatch):
    """Run a command as its own program would, on this test's stores: exit code, stdout, stderr."""
    for name in [name for name in process_env if name.startswith("SCRM_")]:
        monkeypatch.setenv(name, process_env[name])
    monkeypatch.delenv(FOLDER)
    for name, value in {"SCRM_LOG__LEVEL": "ERROR", "COLUMNS": "300"}.items():
        monkeypatch.setenv(name, value)
    current_settings.cache_clear()

    def call(*arguments: str):
        code = run_command(program, list(arguments))
        out = capsys.readouterr()
        return code, out.out, out.err

    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield call
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()
    current_settings.cache_clear()


def put(made: int, **values) -> int:
    with transaction():
        db_session().execute(update(Effect).where(Effect.id == made).values(**values))
    return made


def failed(kind: str = "welcome", errcode: int = 60020, **values) -> int:
    return put(planned(kind, {}), state=EffectState.FAILED, errcode=errcode, finished_at=utcnow(), **values)


def test_effects_are_listed_and_filtered(scrm):
    made = failed("remark", subject="follow:1")
    planned("welcome", {"welcome_code": "SECRET"})
    code, out, _ = scrm("effects", "list", "--state", "failed", "--json")
    assert (code, [row["id"] for row in json.loads(out)]) == (0, [made])
    code, out, _ = scrm("effects", "list")
    assert code == 0
    assert "2 effects" in out
    assert "follow:1" in out


def test_effects_are_counted(scrm):
    failed()
    failed()
    rows = json.loads(scrm("effects", "stats", "--json")[1])
    assert rows == [{"kind": "welcome", "state": "failed", "errcode": 60020, "parked": None, "effects": 2}]
    assert "2 effects" in scrm("effects", "stats")[1]


def test_one_effect_is_shown_with_what_a_person_may_answer(scrm):
    made = put(
        planned("welcome", {"welcome_code": "SECRET"}), state=EffectState.UNKNOWN, parked=Parked.PERSON
    )
    code, out, _ = scrm("effects", "show", str(made))
    assert code == 0
    assert "SECRET" not in out
    assert "欢迎语" in out
    assert f"scrm effects resolve {made} --outcome confirmed" in out
    shown = json.loads(scrm("effects", "show", str(made), "--json")[1])
    assert shown["question"]["en"].endswith("?")
    assert scrm("effects", "show", "999999")[0] == 1


def test_a_person_settles_what_wecom_cannot_tell(scrm):
    made = [put(planned("welcome", {}), state=EffectState.UNKNOWN, parked=Parked.PERSON) for _ in range(2)]
    code, out, _ = scrm("effects", "resolve", *map(str, made), "--outcome", "confirmed", "--json")
    assert (code, json.loads(out)) == (0, {str(one): "confirmed" for one in made})
    code, _, problem = scrm("effects", "resolve", str(made[0]), "--outcome", "failed")
    assert code == 1
    assert "confirmed" in problem


def test_retry_looks_first(scrm):
    made = failed()
    failed(deadline_at=utcnow() - timedelta(hours=1))
    code, out, _ = scrm("effects", "retry", "--errcode", "60020", "--dry-run")
    assert (code, out.strip()) == (0, "would be sent or told again: 1 welcome; 1 too late")
    assert effect(made).state == EffectState.FAILED
    code, out, _ = scrm("effects", "retry", "--errcode", "60020", "--json")
    assert (code, json.loads(out)["ids"]) == (0, [made])
    assert effect(made).state == EffectState.PLANNED
    assert scrm("effects", "retry")[0] == 2


def test_limits_are_shown_with_their_section(scrm, sandbox):
    code, out, _ = scrm("limits", "--api", "media/uploadimg", "--json")
    (shown,) = json.loads(out)
    assert code == 0
    assert [(w["figure"], w["source"]) for w in shown["windows"]][2:] == [(1000, "1.4"), (3000, "1.4")]
    code, out, _ = scrm("limits")
    assert code == 0
    for word in ("kf/sync_msg", "0 of 5", "message/send", "open"):
        assert word in out
