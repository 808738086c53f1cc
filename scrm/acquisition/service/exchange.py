"""Channel codes as files: CSV for spreadsheets, JSON for programs; both hold the same columns.

Members stand by userid, tags as ``group/name``, folders and welcome messages by name: ids differ from one deployment to the other. A cell
that a spreadsheet would take for a formula gets an apostrophe in front on the way out, which goes on the way in.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from marshmallow import ValidationError
from sqlalchemy import select

from scrm.acquisition.models import ChannelCode, ChannelCodeGroup, CodeState, WelcomeMessage
from scrm.acquisition.schemas.codes import ChannelCodeIn
from scrm.acquisition.service.channel_codes import make_channel_codes, problems_of
from scrm.kernel.db import session
from scrm.kernel.errors import InvalidInput
from scrm.staff.models import Staff
from scrm.staff.service.naming import staff_ids
from tags.models import Tag, TagGroup

Json = dict[str, Any]
PLAIN = (
    "name", "department_ids", "use_party", "daily_cap", "remark_rule", "blocked_names",
    "remark", "skip_verify", "accept_slots", "is_temp", "expires_in", "chat_expires_in", "unionid", "valid_until",
    "when_over",
)  # fmt: skip
COLUMNS = (
    "group",
    "staff",
    "backup_staff",
    "tags",
    "slots",
    "dates",
    "caps",
    "welcome",
    "welcome_slots",
    *PLAIN,
)
LISTS = {
    "staff", "backup_staff", "tags", "slots", "dates", "caps", "department_ids", "welcome_slots", "blocked_names",
    "accept_slots",
}  # fmt: skip
WORDS = {"staff", "backup_staff", "tags", "blocked_names"}  # lists that stand in one cell, a line each
TEXTS = {"group", "name", "welcome", "remark_rule", "remark", "unionid", "valid_until", "when_over"}
FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")
ROWS_MAX = 1000
EXTRA = "more cells than columns"
CSV_TYPE, JSON_TYPE = "text/csv; charset=utf-8", "application/json"
BOM = "﻿"  # so that spreadsheets read the file as UTF-8
PATHS = {
    "staff_ids": "staff", "backup_staff_ids": "backup_staff", "tag_ids": "tags", "group_id": "group", "welcome_id": "welcome",
}  # fmt: skip


def export_codes(kind: str) -> tuple[str, str]:
    """(content, content type) of all codes that are not deleted, oldest first.

    :param kind: ``csv`` or ``json``
    """
    codes = session().scalars(
        select(ChannelCode).where(ChannelCode.status != CodeState.DELETED).order_by(ChannelCode.id)
    )
    rows = _portable(codes.all())
    if kind == "json":
        return orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode(), JSON_TYPE
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS)
    writer.writeheader()
    writer.writerows({name: _cell(name, row[name]) for name in COLUMNS} for row in rows)
    return BOM + out.getvalue(), CSV_TYPE


def import_codes(kind: str, content: str, *, dry_run: bool) -> Json:
    """Make a code of every row; when one is wrong, or with ``dry_run``, none is made. Inside a transaction.

    :returns: ``{"rows", "made": [ids], "errors": [{"row", "errors": {column: problem}}], "dry_run"}``
    :raises InvalidInput: when the file as a whole cannot be read
    """
    rows = _read_json(content) if kind == "json" else _read_csv(content)
    if len(rows) > ROWS_MAX:
        raise InvalidInput.field("content", f"holds {len(rows)} codes; at most {ROWS_MAX} go at once")
    names = _Names.of(rows)
    loaded = [_load(row, names) for row in rows]
    values = [value for value, _ in loaded]
    problems = [own or _by_column(found) for (_, own), found in zip(loaded, problems_of(values), strict=True)]
    errors = [{"row": place, "errors": found} for place, found in enumerate(problems, 1) if found]
    made = [] if errors or dry_run else [code.id for code in make_channel_codes(values)]
    return {"rows": len(rows), "made": made, "errors": errors, "dry_run": dry_run}


def _by_column(problems: Mapping[str, str]) -> dict[str, str]:
    """The paths of a code's fields as columns of the file."""
    found: dict[str, str] = {}
    for path, problem in problems.items():
        head, _, rest = path.partition(".")
        column = PATHS.get(head, head)
        found[f"{column}.{rest}" if rest else column] = problem
    return found


@dataclass(frozen=True)
class _Names:
    """Ids of what a file names."""

    staff: dict[str, int]
    tags: dict[str, int]
    groups: dict[str, int]
    welcomes: dict[str, list[int]]

    @classmethod
    def of(cls, rows: Sequence[Json]) -> _Names:
        """Look everything up at once."""
        userids = {str(one) for row in rows for one in _userids(row)}
        groups = select(ChannelCodeGroup.name, ChannelCodeGroup.id)
        return cls(
            staff_ids(userids),
            {name: id_ for id_, name in _tag_names().items()},
            dict(session().execute(groups).all()),
            _welcomes_by_name(),
        )


def _welcomes_by_name() -> dict[str, list[int]]:
    """Names of welcome messages need not be unique."""
    found: dict[str, list[int]] = {}
    for id_, name in session().execute(select(WelcomeMessage.id, WelcomeMessage.name)):
        found.setdefault(name, []).append(id_)
    return found


def _tag_names(ids: Iterable[int] | None = None) -> dict[int, str]:
    statement = select(Tag.id, TagGroup.name, Tag.name).join(TagGroup, TagGroup.id == Tag.group_id)
    # Of two groups of one name, WeCom's is the last and so the one that is meant.
    statement = statement.order_by(TagGroup.push, Tag.id)
    statement = statement.where(Tag.deleted_at.is_(None)) if ids is None else statement.where(Tag.id.in_(ids))
    return {id_: f"{group}/{name}" for id_, group, name in session().execute(statement)}


def _userids(row: Mapping[str, Any]) -> list[Any]:
    lists = [row.get("staff"), row.get("backup_staff")]
    lists += [roster.get("staff") for name in ("slots", "dates") for roster in _dicts(row.get(name))]
    lists.append([cap.get("staff") for cap in _dicts(row.get("caps"))])
    return [one for told in lists if isinstance(told, list) for one in told]


def _dicts(value: Any) -> list[Json]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _portable(codes: Sequence[ChannelCode]) -> list[Json]:
    """Rows with names in place of our ids."""
    staff = {one for code in codes for one in _ids_of(code)}
    userids = dict(session().execute(select(Staff.id, Staff.userid).where(Staff.id.in_(staff))).all())
    tags = _tag_names({one for code in codes for one in code.tag_ids})
    groups = dict(session().execute(select(ChannelCodeGroup.id, ChannelCodeGroup.name)).all())
    welcomes = dict(session().execute(select(WelcomeMessage.id, WelcomeMessage.name)).all())
    return [_row(code, userids, tags, groups) | _welcomed(code, welcomes) for code in codes]


def _welcomed(code: ChannelCode, names: Mapping[int, str]) -> Json:
    """What newcomers are told, by the names of the messages."""
    return {
        "welcome": names.get(code.welcome_id or 0),
        "welcome_slots": [
            {**_without("welcome_id", one), "welcome": names.get(one["welcome_id"])}
            for one in code.welcome_slots
        ],
    }


def _ids_of(code: ChannelCode) -> list[int]:
    rosters = [one for row in (*code.slots, *code.dates) for one in row.get("staff_ids") or ()]
    return [*code.staff_ids, *code.backup_staff_ids, *rosters, *(cap["staff_id"] for cap in code.caps)]


def _row(
    code: ChannelCode, userids: Mapping[int, str], tags: Mapping[int, str], groups: Mapping[int, str]
) -> Json:
    def named(ids: Iterable[int]) -> list[str]:
        return [userids[one] for one in ids if one in userids]

    def rosters(rows: Iterable[Json]) -> list[Json]:
        return [{**_without("staff_ids", row), "staff": named(row.get("staff_ids") or ())} for row in rows]

    plain = {name: getattr(code, name) for name in PLAIN}
    return {
        **plain,
        "valid_until": code.valid_until.isoformat() if code.valid_until and not code.is_temp else None,
        "when_over": code.when_over.value,
        "group": groups.get(code.group_id or 0),
        "staff": named(code.staff_ids),
        "backup_staff": named(code.backup_staff_ids),
        "tags": [tags[one] for one in code.tag_ids if one in tags],
        "slots": rosters(code.slots),
        "dates": rosters(code.dates),
        "caps": [
            {"staff": userids[c["staff_id"]], "cap": c["cap"]} for c in code.caps if c["staff_id"] in userids
        ],
    }


def _cell(name: str, value: Any) -> str:
    """One value as a spreadsheet may hold it."""
    if value is None or value == []:
        return ""
    if name in WORDS:
        text = "\n".join(value)
    elif name in TEXTS:
        text = str(value)
    else:
        text = orjson.dumps(value).decode()
    return f"'{text}" if text.startswith(FORMULA) else text


def _read_csv(content: str) -> list[Json]:
    reader = csv.DictReader(io.StringIO(content.removeprefix(BOM), newline=""), strict=True)
    try:
        columns = reader.fieldnames or []
        if unknown := [name for name in columns if name not in COLUMNS]:
            raise InvalidInput.field("content", f"unknown columns {unknown}; there are {', '.join(COLUMNS)}")
        if "name" not in columns:
            raise InvalidInput.field("content", f"the first line must name columns: {', '.join(COLUMNS)}")
        return [_from_cells(row) for row in reader]
    except csv.Error as error:
        raise InvalidInput.field("content", f"is no CSV: {error} in line {reader.line_num}") from None


def _from_cells(row: Mapping[str | None, Any]) -> Json:
    found: Json = {}
    for name, cell in row.items():
        if name is None:
            found[EXTRA] = cell
            continue
        text = (cell or "").strip()
        text = text[1:] if text.startswith("'") and text[1:].startswith(FORMULA) else text
        if text:
            found[name] = _value(name, text)
    return found


def _value(name: str, text: str) -> Any:
    if name in WORDS:
        return [line.strip() for line in text.splitlines() if line.strip()]
    if name in TEXTS:
        return text
    try:
        return orjson.loads(text.lower() if text.lower() in {"true", "false"} else text)
    except orjson.JSONDecodeError:
        return text  # the schema says what would be right


def _read_json(content: str) -> list[Json]:
    try:
        rows = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise InvalidInput.field("content", f"is no JSON: {error}") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InvalidInput.field("content", "must be a list of codes, each an object")
    return rows


def _load(row: Json, names: _Names) -> tuple[Json, dict[str, str]]:
    """(values of a code, problems by column) out of a row with names."""
    problems: dict[str, str] = {name: _strange(name) for name in row if name not in COLUMNS}
    told: Json = {name: value for name, value in row.items() if name in PLAIN and value is not None}
    told["staff_ids"] = _known("staff", row.get("staff"), names.staff, problems)
    told["backup_staff_ids"] = _known("backup_staff", row.get("backup_staff"), names.staff, problems)
    told["tag_ids"] = _known("tags", row.get("tags"), names.tags, problems)
    if row.get("group"):
        told["group_id"] = names.groups.get(str(row["group"]))
        if told["group_id"] is None:
            problems["group"] = "there is no group of this name"
    told |= _told_welcomes(row, names, problems)
    for name in ("slots", "dates"):
        told[name] = [
            {
                **_without("staff", one),
                "staff_ids": _known(f"{name}.{place}.staff", one.get("staff"), names.staff, problems),
            }
            for place, one in enumerate(_objects(name, row.get(name), problems))
        ]
    told["caps"] = [
        {
            **_without("staff", one),
            "staff_id": next(
                iter(_known(f"caps.{place}.staff", [one.get("staff")], names.staff, problems)), 0
            ),
        }
        for place, one in enumerate(_objects("caps", row.get("caps"), problems))
    ]
    if problems:
        return {}, problems
    try:
        return ChannelCodeIn().load(told), {}
    except ValidationError as error:
        return {}, _by_column(dict(_flat(error.messages)))


def _told_welcomes(row: Json, names: _Names, problems: dict[str, str]) -> Json:
    """The welcome of a code and those of its hours, by id."""
    told: Json = {}
    if row.get("welcome"):
        told["welcome_id"] = _welcome("welcome", row["welcome"], names, problems)
    slots = _objects("welcome_slots", row.get("welcome_slots"), problems)
    told["welcome_slots"] = [
        {
            **_without("welcome", one),
            "welcome_id": _welcome(f"welcome_slots.{place}.welcome", one.get("welcome"), names, problems),
        }
        for place, one in enumerate(slots)
    ]
    return told


def _welcome(path: str, name: Any, names: _Names, problems: dict[str, str]) -> int | None:
    found = names.welcomes.get(str(name), [])
    if len(found) == 1:
        return found[0]
    problems[path] = (
        "several welcome messages are called so; give them names of their own"
        if found
        else "there is no welcome message of this name"
    )
    return None


def _strange(name: str) -> str:
    return f"is no column; names go into {PATHS[name]}" if name in PATHS else "is no column"


def _without(name: str, one: Mapping[str, Any]) -> Json:
    return {key: value for key, value in one.items() if key != name}


def _objects(name: str, value: Any, problems: dict[str, str]) -> list[Json]:
    """The objects of a list; anything else is a problem of the column."""
    found = _dicts(value)
    if value is not None and (not isinstance(value, list) or len(found) != len(value)):
        problems[name] = "must be a list of objects"
    return found


def _known(path: str, told: Any, ids: Mapping[str, int], problems: dict[str, str]) -> list[int]:
    if told is None:
        return []
    if not isinstance(told, list):
        problems[path] = "must be a list"
        return []
    found: list[int] = []
    for place, one in enumerate(told):
        key = str(one).casefold() if "staff" in path else str(one)
        if key in ids:
            found.append(ids[key])
        else:
            problems[f"{path}.{place}"] = "is not known here"
    return found


def _flat(messages: Any, path: str = "") -> Iterable[tuple[str, str]]:
    """(path, problem) of marshmallow's nested messages."""
    if isinstance(messages, dict):
        for key, inner in messages.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, "; ".join(map(str, messages)) if isinstance(messages, list) else str(messages)
