"""Whether a person may be contacted; of two who become one, the refusal stays."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from sqlalchemy import text

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import InvalidInput, NotFound
from scrm.kernel.events import publish
from scrm.people.events import ConsentChanged
from scrm.people.queries.consents import CHANNEL_PATTERN

CLOCKS_DIFFER = timedelta(minutes=5)


@dataclass(frozen=True)
class Consent:
    """What a person said about one channel (``wecom``, ``sms``, ``email`` ...), to whom and when."""

    channel: str
    contactable: bool
    source: str
    at: datetime


def set_contactable(person_id: int, said: Consent) -> None:
    """Note what a person said about a channel; an older word never replaces a newer one.

    :raises InvalidInput: no name of a channel, or a word of the future, which would outlast what is said until then
    :raises NotFound: no such person
    """
    if not re.fullmatch(CHANNEL_PATTERN[1:-1], said.channel):
        raise InvalidInput.field("channel", "must be small letters, digits and _, such as sms")
    if said.at > utcnow() + CLOCKS_DIFFER:
        raise InvalidInput.field(
            "at", "must not lie in the future: what the person says until then would not count"
        )
    values = {"person": person_id, **asdict(said)}
    if (
        session().scalar(text("SELECT 1 FROM people WHERE id = :person AND merged_into IS NULL"), values)
        is None
    ):
        raise NotFound(f"there is no person {person_id}")
    if session().execute(_SET, values).first():
        publish(ConsentChanged(person_id, said.channel))


_SET = text("""
INSERT INTO person_consents AS c (person_id, channel, contactable, source, at)
VALUES (:person, :channel, :contactable, :source, :at)
ON CONFLICT (person_id, channel) DO UPDATE
SET contactable = excluded.contactable, source = excluded.source, at = excluded.at
WHERE excluded.at > c.at OR (excluded.at = c.at AND NOT excluded.contactable AND c.contactable)
RETURNING person_id
""")


def take_stricter(merge_ids: Sequence[int]) -> None:
    """Give the kept persons what the gone ones said where it is stricter, and write down what stood before."""
    session().execute(_REMEMBER, {"ids": list(merge_ids)})
    session().execute(_TAKE, {"ids": list(merge_ids)})


_REMEMBER = text("""
UPDATE merges m SET consents = (SELECT COALESCE(jsonb_agg(to_jsonb(c)), '[]') FROM person_consents c
  WHERE c.person_id = m.kept_id)
WHERE m.id = ANY(CAST(:ids AS bigint[]))
""")
_TAKE = text("""
INSERT INTO person_consents AS c (person_id, channel, contactable, source, at)
SELECT m.kept_id, g.channel, g.contactable, g.source, g.at
FROM merges m JOIN person_consents g ON g.person_id = m.gone_id WHERE m.id = ANY(CAST(:ids AS bigint[]))
ON CONFLICT (person_id, channel) DO UPDATE
SET contactable = excluded.contactable, source = excluded.source, at = excluded.at
WHERE c.contactable AND NOT excluded.contactable
""")


def restore_consents(merge_id: int) -> None:
    """Undo :func:`take_stricter` where nobody spoke since; a refusal since then counts for both."""
    for statement in (_SPREAD_REFUSALS, _TAKE_BACK, _PUT_BACK):
        session().execute(statement, {"merge": merge_id})


_SPREAD_REFUSALS = text("""
INSERT INTO person_consents AS c (person_id, channel, contactable, source, at)
SELECT m.gone_id, k.channel, false, k.source, k.at FROM merges m JOIN person_consents k ON k.person_id = m.kept_id
WHERE m.id = :merge AND NOT k.contactable AND k.at > m.at
ON CONFLICT (person_id, channel) DO UPDATE
SET contactable = excluded.contactable, source = excluded.source, at = excluded.at WHERE excluded.at > c.at
""")
_BORROWED = """k.person_id = m.kept_id AND k.at <= m.at AND g.person_id = m.gone_id AND g.channel = k.channel
  AND (k.contactable, k.source, k.at) = (g.contactable, g.source, g.at)"""
_TAKE_BACK = text(f"""
DELETE FROM person_consents k USING merges m, person_consents g WHERE m.id = :merge AND {_BORROWED}
""")  # noqa: S608  # a constant
_PUT_BACK = text("""
INSERT INTO person_consents (person_id, channel, contactable, source, at)
SELECT r.person_id, r.channel, r.contactable, r.source, r.at
FROM merges m, jsonb_populate_recordset(CAST(NULL AS person_consents), m.consents) AS r WHERE m.id = :merge
ON CONFLICT DO NOTHING
""")
