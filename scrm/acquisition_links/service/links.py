"""Acquisition links: made, changed, taken away; and their channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ARRAY, BigInteger, any_, func, literal, select, text, update

from scrm.acquisition_links.models import AcquisitionLink, LinkChannel, LinkState
from scrm.acquisition_links.service.calls import push
from scrm.acquisition_links.service.checks import (
    check_link,
    check_state,
    check_tags,
    check_welcome,
    require_app,
)
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import NotFound


def create_link(values: Mapping[str, Any]) -> AcquisitionLink:
    """A new link; its address is there once WeCom accepted it (``status`` becomes ``active``).

    :raises InvalidInput: when somebody or something named does not exist, or the range is too large
    :raises Conflict: when no configured app may call 获客助手
    """
    require_app()
    usual = {
        "staff_ids": [],
        "department_ids": [],
        "priority_staff_ids": [],
        "tag_ids": [],
        "skip_verify": True,
    }
    link = AcquisitionLink(**{**usual, **values}, version=1)
    check_link(link, values)
    session().add(link)
    session().flush()
    push([link])
    return link


def change_link(link_id: int, values: Mapping[str, Any]) -> AcquisitionLink:
    """Change the given fields; WeCom hears of it only when what it holds really differs. A range is replaced.

    On a link WeCom refused, this tries again.

    :raises NotFound: when there is no such link, or it was deleted
    :raises InvalidInput: as :func:`create_link`
    :raises Conflict: same
    """
    require_app()
    link = locked_link(link_id)
    with session().no_autoflush:
        for name, value in values.items():
            setattr(link, name, value)
        check_link(link, values)
    session().flush()
    push([link])
    return link


def delete_link(link_id: int) -> None:
    """Take a link away, here and at WeCom; who came through it keeps their tags, and the figures stay.

    :raises NotFound: when there is no such link, or it was deleted before
    """
    link = locked_link(link_id)
    link.status = LinkState.DELETED
    session().flush()
    push([link])


def locked_link(link_id: int) -> AcquisitionLink:
    """The link, locked; raises NotFound when there is none or it was deleted."""
    link = session().get(
        AcquisitionLink, link_id, with_for_update={"key_share": True}, populate_existing=True
    )
    if link is None or link.status is LinkState.DELETED:
        raise NotFound(f"there is no acquisition link {link_id}")
    return link


def create_channel(link_id: int, values: Mapping[str, Any]) -> LinkChannel:
    """A variant of a link, told apart by ``state``; one is made when none is given.

    :raises NotFound: when there is no such link
    :raises InvalidInput: when a tag or the welcome does not exist, or the state is in use
    """
    locked_link(link_id)
    check_tags(values.get("tag_ids", []))
    check_welcome(values.get("welcome_id"))
    id_ = session().scalar(text("SELECT nextval(pg_get_serial_sequence('link_channels', 'id'))"))
    state = values.get("state") or f"al{id_}"
    check_state(state)
    given = {"tag_ids": [], **values, "state": state}
    channel = LinkChannel(**given, id=id_, acquisition_link_id=link_id)
    session().add(channel)
    session().flush()
    return channel


def change_channel(channel_id: int, values: Mapping[str, Any]) -> LinkChannel:
    """Change name, tags or welcome of a channel, or archive it (``archived``); its state stays.

    :raises NotFound: when there is no such channel
    :raises InvalidInput: when a tag or the welcome does not exist
    """
    channel = session().get(LinkChannel, channel_id, with_for_update={"key_share": True})
    if channel is None:
        raise NotFound(f"there is no channel {channel_id}")
    check_tags(values.get("tag_ids", []))
    check_welcome(values.get("welcome_id"))
    given = dict(values)
    if (archived := given.pop("archived", None)) is not None:
        channel.archived_at = (channel.archived_at or utcnow()) if archived else None
    for name, value in given.items():
        setattr(channel, name, value)
    session().flush()
    return channel


def move_staff(moves: Mapping[int, int]) -> None:
    """Two rows were the same member: links that name one name the other.

    :param moves: {id that is gone: id that stays}
    """
    for gone, kept in sorted(moves.items()):
        for column in (AcquisitionLink.staff_ids, AcquisitionLink.priority_staff_ids):
            session().execute(
                update(AcquisitionLink)
                .where(literal(gone) == any_(column))
                .values({column: func.array_replace(column, gone, kept)})
                .execution_options(synchronize_session=False)
            )


def refresh_members(staff_ids: Sequence[int]) -> None:
    """Members left or came back: links that name them are sent without or with them."""
    naming = select(AcquisitionLink).where(
        AcquisitionLink.staff_ids.bool_op("&&")(literal(list(staff_ids), ARRAY(BigInteger))),
        AcquisitionLink.status == LinkState.ACTIVE,
    )
    push(session().scalars(naming.order_by(AcquisitionLink.id).with_for_update(key_share=True)).all())
