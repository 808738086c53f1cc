"""The portrait: everything about one customer in one SQL statement, and the timeline page by page.

Packages further up add their part with :func:`portrait_section`; the statement is put together once per process.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    Text,
    and_,
    bindparam,
    cast,
    func,
    literal,
    literal_column,
    or_,
    select,
    tuple_,
)
from sqlalchemy.orm import aliased

from scrm.customers.models import Customer
from scrm.customers.queries import customer_by_id, visible
from scrm.kernel.db import session
from scrm.kernel.errors import InvalidInput, NotFound
from scrm.kernel.permissions import Scope
from scrm.kernel.schemas import LIMIT_DEFAULT
from scrm.people.queries.portrait import person_section
from scrm.portraits.models import TimelineEntry

FIRST_PAGE = 20
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
Section = Callable[[], "ColumnElement[Any]"]

_sections: dict[str, Section] = {}


def portrait_section(name: str) -> Callable[[Section], Section]:
    """Add a field to the portrait: the function gives a scalar JSON subquery correlated on ``customers.id``.

    :raises ValueError: when another function already gives this field
    """

    def register(section: Section) -> Section:
        if _sections.get(name, section) is not section:
            raise ValueError(f"the portrait already has a section {name!r}")
        _sections[name] = section
        _document.cache_clear()
        return section

    return register


def portrait(customer_id: int, scope: Scope) -> str:
    """Everything about one customer as the text of a JSON object, in one statement.

    :raises NotFound: no such customer, or outside the scope
    """
    statement = _document() if scope.everyone else _document().where(visible(scope))
    found: str | None = session().scalar(statement, {"customer_id": customer_id})
    if found is None:
        raise NotFound(f"there is no customer {customer_id}, or it lies outside this key's data scope")
    return found


@lru_cache(maxsize=1)
def _document() -> Select[Any]:
    parts = [part for name in sorted(_sections) for part in (name, _sections[name]())]
    identity = [part for column in IDENTITY for part in (column.key, column)]
    document = func.json_build_object(*identity, *parts)
    return select(cast(document, Text)).where(Customer.id == bindparam("customer_id"))


IDENTITY = (
    Customer.id, Customer.external_userid, Customer.name, Customer.avatar, Customer.type, Customer.gender,
    Customer.unionid, Customer.position, Customer.corp_name, Customer.corp_full_name, Customer.external_profile,
    Customer.refreshed_at, Customer.refresh_failed, Customer.created_at,
)  # fmt: skip


@portrait_section("follows")
def follows_section() -> ColumnElement[Any]:
    """Relations with members of staff, newest first."""
    return literal_column("""(SELECT COALESCE(json_agg(json_build_object(
      'id', f.id, 'staff_id', f.staff_id, 'userid', s.userid, 'staff_name', s.name, 'status', f.status,
      'half_added_at', f.half_added_at, 'added_at', f.added_at, 'deleted_by_staff_at', f.deleted_by_staff_at,
      'deleted_by_customer_at', f.deleted_by_customer_at, 'delete_source', f.delete_source, 'remark', f.remark,
      'description', f.description, 'remark_corp_name', f.remark_corp_name, 'remark_mobiles', f.remark_mobiles,
      'add_way', f.add_way, 'state', f.state, 'oper_userid', f.oper_userid, 'wechat_channels', f.wechat_channels,
      'transfer_fail_reason', f.transfer_fail_reason) ORDER BY f.id DESC), '[]')
    FROM follows f JOIN staff s ON s.id = f.staff_id WHERE f.customer_id = customers.id)""")


@portrait_section("groups")
def groups_section() -> ColumnElement[Any]:
    """Groups the customer is or was in, newest join first."""
    return literal_column("""(SELECT COALESCE(json_agg(json_build_object(
      'group_id', s.group_id, 'chat_id', g.chat_id, 'name', g.name, 'joined_at', s.joined_at, 'left_at', s.left_at,
      'join_scene', s.join_scene, 'quit_scene', s.quit_scene, 'invitor_userid', s.invitor_userid, 'state', s.state)
      ORDER BY s.joined_at DESC, s.id DESC), '[]')
    FROM group_stays s JOIN customer_groups g ON g.id = s.group_id WHERE s.customer_id = customers.id)""")


@portrait_section("counters")
def counters_section() -> ColumnElement[Any]:
    """Counts of messages and of timeline entries, with the last times; null before anything happened."""
    return literal_column("""(SELECT json_build_object('messages_in', c.messages_in, 'messages_out', c.messages_out,
      'entries', c.entries, 'last_in_at', c.last_in_at, 'last_out_at', c.last_out_at, 'last_entry_at', c.last_entry_at)
    FROM customer_counters c WHERE c.customer_id = customers.id)""")


portrait_section("person")(person_section)


@portrait_section("timeline")
def timeline_section() -> ColumnElement[Any]:
    """The newest entries, and the cursor of the next page (why the limit is a question: see :func:`entry_list`)."""
    return literal_column(f"""(SELECT json_build_object('items', COALESCE(json_agg(json_build_object(
      'id', t.id, 'at', t.at, 'kind', t.kind, 'staff_id', t.staff_id, 'details', t.details) ORDER BY t.place)
      FILTER (WHERE t.place <= {FIRST_PAGE}), '[]'),
      'next_cursor', CASE WHEN count(*) > {FIRST_PAGE} THEN max(
        CAST(CAST(extract(epoch FROM t.at) * 1000000 AS bigint) AS text) || '.' || CAST(t.id AS text))
        FILTER (WHERE t.place = {FIRST_PAGE}) END)
    FROM (SELECT e.*, row_number() OVER () AS place FROM (
      SELECT id, at, kind, staff_id, details FROM timeline WHERE customer_id = customers.id
      ORDER BY at DESC, id DESC LIMIT (SELECT {FIRST_PAGE + 1})) e) t)""")  # noqa: S608  # a constant


def timeline_page(scope: Scope, customer_id: int, filters: dict[str, Any]) -> dict[str, Any]:
    """A page of a customer's timeline, newest first.

    :param filters: ``kind`` or ``kinds`` (a trailing ``.`` means the whole family), ``staff_id``, ``from_`` and ``to``
    :raises NotFound: no such customer, or outside the scope
    :raises InvalidInput: a cursor that is not ours
    """
    customer_by_id(scope, customer_id)
    limit = filters.get("limit", LIMIT_DEFAULT)
    rows = list(session().scalars(entry_list(customer_id, filters, limit + 1)))
    last = rows[limit - 1] if len(rows) > limit else None
    return {"items": rows[:limit], "next_cursor": last and f"{(last.at - EPOCH) // MICROSECOND}.{last.id}"}


def entry_list(customer_id: int, filters: dict[str, Any], most: int) -> Select[Any]:
    """The first ``most`` entries of a customer after the cursor, newest first; filters as :func:`timeline_page` takes them.

    With a filter, which these are is found in the index alone: each entry lies on a block of its own, and a rare kind among
    ten thousand would be as many blocks to read.
    """
    whole = TimelineEntry
    entry: type[TimelineEntry] = aliased(TimelineEntry)
    wanted = _wanted(entry, filters)
    if not wanted:
        # a number that the planner knows, near what customers have on average, makes it read and sort all they have
        return _newest(select(whole), whole, customer_id, filters).limit(
            select(literal(most)).scalar_subquery()
        )
    keys = select(entry.id, entry.at).where(*wanted)
    page = _newest(keys, entry, customer_id, filters).limit(most).subquery()
    joined = select(whole).join(page, and_(whole.id == page.c.id, whole.at == page.c.at))
    return joined.order_by(whole.at.desc(), whole.id.desc())


def _newest(
    statement: Any, entry: type[TimelineEntry], customer_id: int, filters: dict[str, Any]
) -> Select[Any]:
    if cursor := filters.get("cursor"):
        at, entry_id = _position(cursor)
        # the first clause lets months be skipped
        statement = statement.where(entry.at <= at, tuple_(entry.at, entry.id) < (at, entry_id))
    statement = statement.where(entry.customer_id == customer_id)
    newest: Select[Any] = statement.order_by(entry.at.desc(), entry.id.desc())
    return newest


def _wanted(entry: type[TimelineEntry], filters: dict[str, Any]) -> list[ColumnElement[bool]]:
    kind = entry.kind
    kinds = [*filters.get("kinds", ()), *([filters["kind"]] if "kind" in filters else ())]
    clauses = [
        kind.startswith(each, autoescape=True) if each.endswith(".") else kind == each for each in kinds
    ]
    found = [or_(*clauses)] if clauses else []
    if "staff_id" in filters:
        found.append(entry.staff_id == filters["staff_id"])
    if "from_" in filters:
        found.append(entry.at >= filters["from_"])
    if "to" in filters:
        found.append(entry.at < filters["to"])
    return found


def _position(cursor: str) -> tuple[datetime, int]:
    microseconds, _, entry_id = cursor.partition(".")
    try:
        return EPOCH + int(microseconds) * MICROSECOND, int(entry_id)
    except (ValueError, OverflowError):
        raise InvalidInput.field(
            "cursor", "is not one of ours; give next_cursor of the page before"
        ) from None
