"""Every figure by which WeCom limits an API that this program calls or will call, each with its source.

The base row holds for every API of the corp. A row of an API stands beside it, unless the API is in
:data:`OWN_RATE_ONLY`. docs/limits.md shows this table to people; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

MINUTE, HOUR, DAY = 60, 3600, 86_400
MONTH = 31 * DAY  # the longest a month can be, so that no calendar month holds more
EVERY = "*"
Sent = Mapping[str, Any]


class Per(StrEnum):
    """Whose calls WeCom counts together."""

    CORP = "corp"  # all apps of the corp
    APP = "app"
    MEMBER = "member"  # messages of one app to one member; what is over is dropped in silence


class Only(StrEnum):
    """Calls a row is about, when not all."""

    ALL = ""
    TOKENLESS = "without token"
    TEMPORARY = "temporary"


MATCHES: dict[Only, Callable[[Sent], bool]] = {
    Only.ALL: lambda _: True,
    Only.TOKENLESS: lambda sent: not sent.get("token"),
    Only.TEMPORARY: lambda sent: bool(sent.get("is_temp")),
}


@dataclass(frozen=True)
class Limit:
    """One figure.

    :param window: seconds
    :param source: section of wecom-api.md
    """

    api: str
    per: Per
    figure: int
    window: int
    source: str
    only: Only = Only.ALL


SEND = "message/send"
UPLOADIMG = "media/uploadimg"
UNIONID = "idconvert/unionid_to_external_userid"
GETTOKEN = "gettoken"

LIMITS: tuple[Limit, ...] = (
    Limit(EVERY, Per.CORP, 10_000, MINUTE, "1.4"),
    Limit(EVERY, Per.CORP, 150_000, HOUR, "1.4"),
    Limit(SEND, Per.MEMBER, 30, MINUTE, "1.4"),
    Limit(SEND, Per.MEMBER, 1_000, HOUR, "1.4"),
    Limit(UPLOADIMG, Per.CORP, 1_000, DAY, "1.4"),
    Limit(UPLOADIMG, Per.CORP, 3_000, MONTH, "1.4"),
    Limit("get_jsapi_ticket", Per.CORP, 400, HOUR, "1.4, 5.6"),
    Limit("ticket/get", Per.APP, 100, HOUR, "1.4, 5.6"),
    Limit("externalcontact/add_contact_way", Per.CORP, 100_000, DAY, "4.4", Only.TEMPORARY),
    Limit(UNIONID, Per.CORP, 100_000, HOUR, "4.13"),
    Limit(UNIONID, Per.CORP, 480_000, DAY, "4.13"),
    Limit(UNIONID, Per.CORP, 7_500_000, MONTH, "4.13"),
    Limit("kf/sync_msg", Per.CORP, 10, MINUTE, "7.2", Only.TOKENLESS),
    Limit("msgaudit/get_permit_user_list", Per.CORP, 1_000, MINUTE, "8.4"),
    Limit("msgaudit/groupchat/get", Per.CORP, 2_000, MINUTE, "8.4"),
    Limit("msgaudit/check_single_agree", Per.CORP, 2_500, MINUTE, "8.4"),
    Limit("msgaudit/check_room_agree", Per.CORP, 1_500, MINUTE, "8.4"),
    Limit("msgaudit/get_robot_info", Per.CORP, 600, MINUTE, "8.4"),
)

PERSON_TIMES_PER_ACCOUNT = 200
"""Messages of one app a day, times the corp's account limit (section 1.4); the account limit is ``governor.accounts``."""

OWN_RATE_ONLY = frozenset({SEND, "ticket/get", GETTOKEN})
"""APIs that WeCom counts per app: message/send is "not counted in the base rate" (1.4), tokens and tickets are an app's
own (1.1, 5.6). What is learned there (blocks, circuit, calls at once) is kept per app too."""

CALLS_AT_ONCE: dict[str, tuple[int, str]] = {"kf/sync_msg": (5, "1.3")}
"""Calls of one API at once where a figure is known, with its source."""


@cache
def rows_of(api: str) -> tuple[Limit, ...]:
    """The rows an API is held to, the base first."""
    base = () if api in OWN_RATE_ONLY else tuple(row for row in LIMITS if row.api == EVERY)
    return base + tuple(row for row in LIMITS if row.api == api)


def members_of(sent: Sent) -> list[str]:
    """Members a ``message/send`` body names, as WeCom counts them: without case, each once.

    ``@all``, departments and tags cannot be counted here; WeCom expands them.
    """
    named = str(sent.get("touser") or "")
    return [] if named == "@all" else sorted({userid.casefold() for userid in named.split("|") if userid})
