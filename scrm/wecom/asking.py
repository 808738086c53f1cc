"""What kinds share when they find out the fate of a call: reading follows and tags, and codes that work once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from scrm.wecom.client import Client
from scrm.wecom.errors import Denied, NotFound, Stop, WecomError
from scrm.wecom.registry import Answer, Json, Verdict

ENVELOPE = frozenset({"errcode", "errmsg"})
NOT_DONE = Answer(Verdict.NOT_DONE)


def content(answer: Json) -> Json:
    """An answer without errcode and errmsg: what is kept on the row."""
    return {key: value for key, value in answer.items() if key not in ENVELOPE}


def posting(path: str) -> Callable[[Client, Any], Json]:
    """A ``send`` that posts the payload as it is to ``path``."""

    def send(client: Client, asked: Any) -> Json:
        return content(client.post(path, asked.payload))

    return send


def refused(error: WecomError) -> Answer:
    """It did not happen and cannot, for the reason WeCom gives."""
    return Answer(Verdict.REFUSED, errcode=error.errcode, reason=error.errmsg)


def by_sending_again(
    call: Callable[[], Json], *, done: frozenset[int], doubtful: frozenset[int] = frozenset()
) -> Answer:
    """For calls that WeCom itself carries out once only (codes and ids that are used up): calling again is asking.

    :param done: errcodes that say it was carried out before
    :param doubtful: errcodes that may be the consequence of having been carried out
    """
    try:
        return Answer(Verdict.DONE, result=call())
    except Denied as error:
        return Answer(Verdict.PERSON, errcode=error.errcode, reason=error.errmsg)
    except (Stop, NotFound) as error:
        if error.errcode in done:
            return Answer(Verdict.DONE)
        if error.errcode in doubtful:
            return Answer(Verdict.PERSON, errcode=error.errcode, reason=error.errmsg)
        return refused(error)


def pages(fetch: Callable[[str | None], Json]) -> Iterator[Json]:
    """Every page of a list that is read with ``cursor``; ``fetch(None)`` is the first."""
    cursor: str | None = None
    while True:
        page = fetch(cursor)
        yield page
        cursor = page.get("next_cursor") or None
        if cursor is None:
            return


def follow_of(client: Client, userid: str, external_userid: str) -> Json | None:
    """``follow_user`` entry of one member in externalcontact/get; None when this member does not follow."""
    for page in pages(
        lambda cursor: client.get("externalcontact/get", external_userid=external_userid, cursor=cursor)
    ):
        for follow in page.get("follow_user", []):
            if follow["userid"].casefold() == userid.casefold():  # userids are compared without case
                return dict(follow)
    return None


def corp_tags(client: Client) -> list[Json]:
    """Every living tag group with its tags, as externalcontact/get_corp_tag_list gives them."""
    return list(client.post("externalcontact/get_corp_tag_list", {}).get("tag_group", []))
