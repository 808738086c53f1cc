"""Customers whose person agreed to be contacted over a channel, refused it, or never said so."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from marshmallow import ValidationError, fields, validates_schema
from marshmallow.validate import OneOf, Regexp
from sqlalchemy import ColumnElement, Select, Text, case, cast, literal, not_, select

from scrm.kernel.schemas import Schema
from scrm.people.models import PersonConsent
from scrm.people.queries.consents import CHANNEL_PATTERN, CHANNELS, known_channels
from tags.rules.leaf_values import moment_told
from tags.rules.leaves import Args, Language, Leaf, Names
from tags.rules.persons import PersonHas, customers_of, is_of_person_with, of_person, person_has
from tags.rules.windows import WindowField, leaving, window_words, within

GIVEN, WITHDRAWN, NEVER_ASKED = "given", "withdrawn", "never_asked"
SAID = (GIVEN, WITHDRAWN)
STATE_WORDS = {
    GIVEN: ("同意{}联系", "agreed to be contacted by {}"),
    WITHDRAWN: ("拒绝{}联系", "refused to be contacted by {}"),
    NEVER_ASKED: ("未表态是否同意{}联系", "never said whether they may be contacted by {}"),
}


class ConsentArgs(Schema):
    """Arguments: the channel, what the person last said about it (or never did), and when."""

    channel = fields.String(
        required=True,
        validate=Regexp(CHANNEL_PATTERN, error="must be small letters, digits and _, such as sms"),
    )
    state = fields.String(required=True, validate=OneOf([*SAID, NEVER_ASKED]))
    since = WindowField(load_default=None, metadata={"description": "when the person said so"})

    @validates_schema(skip_on_field_errors=True)
    def _was_said(self, data: dict[str, Any], **kwargs: Any) -> None:
        if data["since"] and data["state"] == NEVER_ASKED:
            raise ValidationError(f"goes with {' and '.join(SAID)}: nothing was said, at no time", "since")


def _stands(args: Args) -> list[Any]:
    """The person's word, or any word at all, whatever the time."""
    of_channel = PersonConsent.channel == args["channel"]
    return [of_channel] if args["state"] == NEVER_ASKED else [of_channel, _says(args["state"])]


def _says(state: str) -> ColumnElement[bool]:
    return PersonConsent.contactable.is_(state == GIVEN)


def _clause(args: Args, now: datetime, has: PersonHas = person_has) -> ColumnElement[bool]:
    if args["state"] == NEVER_ASKED:
        return not_(has(PersonConsent, *_stands(args)))
    timed = [within(PersonConsent.at, args["since"], now)] if args["since"] else []
    return has(PersonConsent, *_stands(args), *timed)


def _over_all(args: Args, now: datetime) -> ColumnElement[bool]:
    return _clause(args, now, is_of_person_with)


def _value(args: Args, now: datetime) -> ColumnElement[Any]:
    """What the person said and when: ``given (2026-03-01 18:05)``."""
    word = case((_says(GIVEN), GIVEN), else_=WITHDRAWN)
    told = cast(word, Text) + literal(" (", Text) + moment_told(PersonConsent.at) + literal(")", Text)
    return of_person(told, PersonConsent.person_id, PersonConsent.channel == args["channel"])


def _expires(args: Args, since: datetime, until: datetime) -> Select[Any] | None:
    crossed = leaving(PersonConsent.at, args["since"], since, until)
    if crossed is None:
        return None
    return customers_of(select(PersonConsent.person_id).where(crossed, *_stands(args)))


def _check(args: Args) -> dict[str, str]:
    """A misspelt channel would silently hold for nobody, and "did not refuse it" for everybody."""
    known = known_channels()
    if args["channel"] in known:
        return {}
    return {"channel": f"nobody said anything about this channel yet; known are {', '.join(sorted(known))}"}


def _words(args: Args, language: Language, names: Names) -> str:
    place = 0 if language == "zh" else 1
    over = CHANNELS[args["channel"]][place] if args["channel"] in CHANNELS else f"「{args['channel']}」"
    said = STATE_WORDS[args["state"]][place].format(f"通过{over}" if place == 0 else over)
    when = window_words(args["since"], language)
    if not when:
        return said
    return f"{said}（{when}表态）" if place == 0 else f"{said}, said {when}"


def _variants() -> list[dict[str, Any]]:
    channel = {"channel": {"type": "string", "pattern": CHANNEL_PATTERN}}
    window = {"anyOf": [WindowField.json_schema, {"type": "null"}]}
    shapes = [({"enum": list(SAID)}, window), ({"const": NEVER_ASKED}, {"type": "null"})]
    return [
        {"properties": {**channel, "state": state, "since": since}, "required": ["channel", "state"]}
        for state, since in shapes
    ]


LEAF = Leaf(
    kind="consent",
    schema=ConsentArgs,
    reads=lambda args: {f"consent:{args['channel']}"},
    clause=_clause,
    over_all=_over_all,
    words=_words,
    expires=_expires,
    check=_check,
    variants=_variants,
    value=_value,
)
