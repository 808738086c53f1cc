"""May each app do what its features promise? One read of WeCom for each, with what its answer shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from config.settings import Feature, Settings
from scrm.cli.doctor.finding import Finding
from scrm.cli.doctor.refusals import refused
from scrm.kernel.db import session
from scrm.wecom.client import Client, wecom
from scrm.wecom.error_table import APP_SCOPE, CONTACT_MEMBERS, KF_PAGE
from scrm.wecom.errors import NotFound, WecomError

TAGS_MOST = 3000  # tags of a corp (wecom-api.md section 1.3, 40126)
NEARLY = 0.95  # of a limit, when there is still time to clear up
NO_FEATURE_MEMBERS = "no member whom this app sees may serve customers"
SHOWN = 10  # members named in one line
SERVING = """
SELECT lower(userid) AS key, userid FROM staff s WHERE left_at IS NULL AND EXISTS (
  SELECT FROM follows f WHERE f.staff_id = s.id AND f.status IN ('active', 'deleted_by_customer'))
"""
Json = dict[str, Any]


@dataclass(frozen=True)
class Probe:
    """One harmless call that a feature needs, and what its answer should show.

    :param nothing: way out and console page when the answer is empty
    """

    name: str
    feature: Feature
    ask: Callable[[Client], Json]
    count: Callable[[Json], int]
    words: str
    nothing: tuple[str, str]
    most: int = 0


def _tags(answer: Json) -> int:
    return sum(len(group.get("tag") or []) for group in answer.get("tag_group") or [])


PROBES = (
    Probe(
        "customer contact",
        "externalcontact",
        lambda client: client.get("externalcontact/get_follow_user_list"),
        lambda answer: len(answer.get("follow_user") or []),
        "members may serve customers",
        ("add members to 使用范围 of customer contact, and to the app's 可见范围", CONTACT_MEMBERS),
    ),
    Probe(
        "enterprise tags",
        "externalcontact",
        lambda client: client.post("externalcontact/get_corp_tag_list", {}),
        _tags,
        f"of {TAGS_MOST} tags",
        ("", ""),
        TAGS_MOST,
    ),
    Probe(
        "visible range",
        "contacts",
        lambda client: client.get("department/simplelist"),
        lambda answer: len(answer.get("department_id") or []),
        "departments are visible",
        ("add departments or members to the app's 可见范围", APP_SCOPE),
    ),
    Probe(
        "customer service",
        "kf",
        lambda client: client.post("kf/account/list", {"offset": 0, "limit": 100}),
        lambda answer: len(answer.get("account_list") or []),
        "accounts are open to the app",
        ("", KF_PAGE),
    ),
    Probe(
        "acquisition links",
        "acquisition_links",
        lambda client: client.get("externalcontact/customer_acquisition_quota"),
        lambda answer: int(answer.get("balance") or 0),
        "adds are left in the quota",
        ("buy or renew the quota of 获客助手", "客户与上下游 › 获客助手"),
    ),
)


def permissions(settings: Settings) -> Iterator[Finding]:
    """Every feature of every app answers, and shows somebody."""
    for app, conf in settings.apps.items():
        for probe in PROBES:
            if probe.feature in conf.features:
                yield _ask(app, probe)


def hidden_members(settings: Settings) -> Iterator[Finding]:
    """Every member who has customers is seen by each app that works with customers."""
    serving = {row.key: row.userid for row in session().execute(text(SERVING))}
    for app, conf in settings.apps.items():
        if "externalcontact" not in conf.features or not serving:
            continue
        check = f"members with customers seen by app {app}"
        try:
            seen = wecom(app).get("externalcontact/get_follow_user_list").get("follow_user") or []
        except WecomError:
            continue  # said by the line about customer contact
        hidden = sorted(serving[key] for key in serving.keys() - {userid.casefold() for userid in seen})
        if hidden:
            named = ", ".join(hidden[:SHOWN]) + (" …" if len(hidden) > SHOWN else "")
            detail = f"{len(hidden)} of {len(serving)} are not: {named}"
            way_out = "add them to the app's 可见范围, and to 使用范围 of customer contact"
            yield Finding(check, False, detail, way_out, APP_SCOPE)
        else:
            yield Finding(check, True, f"all {len(serving)}")


def _ask(app: str, probe: Probe) -> Finding:
    check = f"{probe.name} of app {app}"
    try:
        number = probe.count(probe.ask(wecom(app)))
    except NotFound as error:
        if probe.nothing[0] and error.errcode != 0:
            return Finding(check, False, f"{error.errcode}: {NO_FEATURE_MEMBERS}", *probe.nothing)
        return refused(check, app, probe.feature, error)
    except WecomError as error:
        return refused(check, app, probe.feature, error)
    detail = f"{number} {probe.words}"
    if not number and probe.nothing[0]:
        return Finding(check, False, detail, *probe.nothing)
    if probe.most and number >= NEARLY * probe.most:
        way_out = "delete tags that nobody uses: WeCom refuses more with 40126"
        return Finding(check, False, detail, way_out, "客户与上下游 › 客户联系 › 客户标签")
    return Finding(check, True, detail)
