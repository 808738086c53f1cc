from __future__ import annotations

import os
import uuid
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from flask import current_app
from sqlalchemy import select, update

from scrm.kernel import events
from scrm.kernel.db import session, transaction
from scrm.wecom.client import wecom
from scrm.wecom.effects import Intent, plan
from scrm.wecom.events import EffectSettled
from scrm.wecom.governor import Caller, Governor
from scrm.wecom.jobs import LANES
from scrm.wecom.models import Effect
from scrm.wecom.registry import kind_named
from scrm.wecom.store import SharedStore


@dataclass
class Corp:
    """A small company in the sandbox: one member, customers who follow, tags."""

    control: object
    userid: str
    people: list[str]

    def tag_ids(self, *names: str, group: str = "等级") -> list[str]:
        answer = call("externalcontact/add_corp_tag", group_name=group, tag=[{"name": n} for n in names])
        return [tag["id"] for tag in answer["tag_group"]["tag"]]

    def group(self) -> str:
        """A customer group of the member with all customers."""
        return self.control.create_group(self.userid, self.people)["chat_id"]

    def accepted(self, api: str) -> list[dict]:
        """Bodies of the calls the sandbox carried out (errcode 0), whatever came of the answer."""
        return [entry["body"] for entry in self.control.log(api=api)]

    def tags_of(self, external_userid: str) -> set[str]:
        got = wecom_get("externalcontact/get", external_userid=external_userid)
        return {t["tag_id"] for f in got["follow_user"] for t in f["tags"] if "tag_id" in t}


def call(path: str, **body):
    return wecom().post(path, body)


def wecom_get(path: str, **params):
    return wecom().get(path, **params)


@pytest.fixture
def corp(committed, sandbox) -> Corp:
    """A member with three customers, in the sandbox; our database is empty."""
    sandbox.population(members=1, customers=0)
    userid = _first_member()
    people = [sandbox.add(userid)[0]["external_userid"] for _ in range(3)]
    return Corp(sandbox, userid, people)


def _first_member() -> str:
    return wecom_get("externalcontact/get_follow_user_list")["follow_user"][0]


def planned(kind: str, payload: dict, **more) -> int:
    """Plan one effect and return its id."""
    key = more.pop("key", f"{kind}:{uuid.uuid4().hex}")
    with transaction():
        return plan([Intent(kind=kind, key=key, payload=payload, **more)])[key]


def carry_out(kind: str) -> None:
    """Run the lane of ``kind`` here."""
    LANES[kind_named(kind).queue]()


def effect(effect_id: int) -> Effect:
    with transaction():
        return (
            session()
            .scalars(select(Effect).where(Effect.id == effect_id).execution_options(populate_existing=True))
            .one()
        )


def due_now(effect_id: int) -> None:
    """Let the next try, or the next question, come at once."""
    current_app.extensions.pop("scrm_lanes", None)
    with transaction():
        session().execute(
            update(Effect)
            .where(Effect.id == effect_id, Effect.next_at.is_not(None))
            .values(next_at=Effect.created_at)
        )


@contextmanager
def listening(subscriber):
    """Subscribe to EffectSettled for a while."""
    events._subscribers[EffectSettled].append(subscriber)
    try:
        yield
    finally:
        events._subscribers[EffectSettled].remove(subscriber)


@pytest.fixture
def heard():
    """The EffectSettled events of this test."""
    told: list[EffectSettled] = []
    with listening(told.extend):
        yield told


@pytest.fixture(scope="session")
def process_environment(settings) -> dict[str, str]:
    """The environment of another process of the same deployment."""
    main = settings.apps["main"]
    return {
        **os.environ,
        "SCRM_DATABASE_URL": settings.database_url.get_secret_value(),
        "SCRM_REDIS_URL": settings.redis_url.get_secret_value(),
        "SCRM_VAR_DIR": str(settings.var_dir),
        "SCRM_CORP__ID": settings.corp.id,
        "SCRM_WECOM__BASE_URL": settings.wecom.base_url,
        "SCRM_APPS__MAIN__AGENT_ID": str(main.agent_id),
        "SCRM_APPS__MAIN__SECRET": main.secret.get_secret_value(),
        "SCRM_APPS__MAIN__TOKEN": main.token.get_secret_value(),
        "SCRM_APPS__MAIN__AES_KEY": main.aes_key.get_secret_value(),
    }


@pytest.fixture
def process_env(process_environment) -> dict[str, str]:
    """The same, for one test."""
    return dict(process_environment)


AWAY = "redis://127.0.0.1:9/0"


class Clock:
    """Model time in milliseconds."""

    def __init__(self) -> None:
        self.ms = 1_700_000_000_000

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(params=["shared", "alone"])
def store(request, redis, settings):
    """The shared store, and one that is away: the rules are the same."""
    made = SharedStore(settings.redis_url.get_secret_value() if request.param == "shared" else AWAY)
    made.alone = request.param == "alone"
    yield made
    made.close()


@pytest.fixture
def shared(redis, settings):
    made = SharedStore(settings.redis_url.get_secret_value())
    yield made
    made.close()


def governor(store, settings, clock, app: str = "main", **changes) -> Governor:
    """A governor of one app in model time, as another process would have it."""
    caller = Caller("corp", app, f"digest-of-{app}")
    return Governor(store, caller, settings.governor.model_copy(update=changes), clock)
