"""Whose record is it? Decided in memory over what a batch names and what is known; nothing is read or written here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from scrm.kernel.settings import settings
from scrm.people.models import MatchKind
from scrm.people.service.identity import SHAREABLE, UNIQUE, Identity, strength


class Known(NamedTuple):
    """An identity that is somebody's: its row and the person; the row is None when this batch adds it."""

    identity_id: int | None
    person_id: int


@dataclass(frozen=True)
class Match:
    """Two persons that one record names; new ones are still negative numbers."""

    keep: int
    other: int
    kind: MatchKind
    reasons: tuple[dict[str, Any], ...]

    def with_ids(self, made: Mapping[int, int]) -> Match:
        """The same with the ids that new persons got."""
        return replace(self, keep=made.get(self.keep, self.keep), other=made.get(self.other, self.other))


@dataclass
class Batch:
    """What one batch adds. New persons are negative numbers until they are written.

    :param owners: whose the identities of the batch are
    :param known: every identity of the persons that get new ones or are named together
    :param additions: new identity -> (person, identity by which the person was known)
    :param claims: identities named in a record that turned out to be another person's
    """

    owners: dict[Identity, Known]
    source: str
    known: dict[int, list[Identity]] = field(default_factory=dict)
    additions: dict[Identity, tuple[int, int | None]] = field(default_factory=dict)
    claims: list[tuple[Identity, int]] = field(default_factory=list)
    matches: list[Match] = field(default_factory=list)
    new_people: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.owners = dict(self.owners)

    def persons_to_weigh(self, records: Sequence[Sequence[Identity]]) -> set[int]:
        """Persons whose other identities matter: they get a new one, or a record names two of them."""
        found: set[int] = set()
        for record in records:
            persons = {self.owners[key].person_id for key in record if key in self.owners}
            if len(persons) > 1 or any(key not in self.owners for key in record):
                found |= persons
        return found

    def place(self, record: Sequence[Identity]) -> int | None:
        """The person of one record; notes what is to be written for it."""
        keys = sorted(record, key=lambda key: (strength(key.kind), key))
        if not keys:
            return None
        person, via = self._surest(keys)
        named = [key for key in keys if key in self.owners]
        for key in keys:
            if key not in self.owners:
                self._add(key, person, via)
        for key in named:
            owner = self.owners[key].person_id
            if owner != person:
                self._disagree(key, person, owner)
        return person

    def _surest(self, keys: Sequence[Identity]) -> tuple[int, int | None]:
        """The person that the surest known identity names; somebody new when the record cannot be theirs.

        A weaker identity (a phone) of somebody who has another member number does not make this record theirs.
        """
        for key in keys:
            owner = self.owners.get(key)
            if owner is None:
                continue
            rivals = [k for k in keys if k not in self.owners and self._speaks_against(k, owner.person_id)]
            if all(strength(key.kind) < strength(rival.kind) for rival in rivals):
                return owner.person_id, owner.identity_id
            break
        person = -1 - len(self.new_people)
        self.new_people.append(person)
        self.known[person] = []
        return person, None

    def _speaks_against(self, key: Identity, person: int) -> bool:
        """Whether the person has another value of a kind of which people have one."""
        return key.kind in UNIQUE and any(
            known.kind == key.kind and known != key for known in self.known.get(person, ())
        )

    def _add(self, key: Identity, person: int, via: int | None) -> None:
        mine = self.known.setdefault(person, [])
        full = sum(known.kind == key.kind for known in mine) >= settings().people.most_values
        if full or self._speaks_against(key, person):
            self._set_apart(key, person, full=full)
            return
        mine.append(key)
        self.owners[key] = Known(None, person)
        self.additions[key] = (person, via)

    def _set_apart(self, key: Identity, person: int, *, full: bool) -> None:
        """Somebody new for a value that does not fit the record's own surest identity; a person decides."""
        other = -1 - len(self.new_people)
        self.new_people.append(other)
        self.known[other] = [key]
        self.owners[key] = Known(None, other)
        self.additions[key] = (other, None)
        too_many = ({"code": "too_many", "kind": key.kind},) if full else ()
        against = (*objections(self.known.get(person, ()), [key]), *too_many)
        self.matches.append(Match(person, other, MatchKind.CONFLICT, (self._together(key), *against)))

    def _disagree(self, key: Identity, person: int, other: int) -> None:
        """One record names two persons."""
        against = objections(self.known.get(person, ()), self.known.get(other, ()))
        kind = MatchKind.CONFLICT if against else MatchKind.SHARED
        self.matches.append(Match(person, other, kind, (self._together(key), *against)))
        if against and key.kind in SHAREABLE:
            self.claims.append((key, person))

    def _together(self, key: Identity) -> dict[str, Any]:
        return {"code": "named_together", "kind": key.kind, "source": self.source}


def objections(one: Iterable[Identity], other: Iterable[Identity]) -> tuple[dict[str, Any], ...]:
    """What speaks against two persons being one: each kind of which people have one value, and they have two."""
    mine, theirs = ({k.kind: k.value for k in side if k.kind in UNIQUE} for side in (one, other))
    differing = (kind for kind in sorted(mine.keys() & theirs.keys()) if mine[kind] != theirs[kind])
    return tuple({"code": "two_values", "kind": str(kind)} for kind in differing)
