"""What can happen to people; ids only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PeopleFound:
    """These persons are new, or one of their customers is."""

    person_ids: tuple[int, ...]


@dataclass(frozen=True)
class PeopleMatched:
    """Persons share an identity and nothing speaks against their being one: a job merges them."""

    match_ids: tuple[int, ...]


@dataclass(frozen=True)
class PeopleMerged:
    """Everything of ``gone`` belongs to ``kept`` now."""

    kept: int
    gone: int


@dataclass(frozen=True)
class PeopleSplit:
    """A merge was undone: ``restored`` is a person again and has what it had."""

    person_id: int
    restored: int


@dataclass(frozen=True)
class PeopleForgotten:
    """These persons are no more: the import that made them was undone. What is known of them shall go."""

    person_ids: tuple[int, ...]


@dataclass(frozen=True)
class PersonChanged:
    """Current values of these fields changed."""

    person_id: int
    fields: tuple[str, ...]


@dataclass(frozen=True)
class ConsentChanged:
    """The person said something else, or the same at another time, about being contacted over this channel."""

    person_id: int
    channel: str


@dataclass(frozen=True)
class FieldRulesChanged:
    """Another value may stand by the new rule of this field."""

    field: str


@dataclass(frozen=True)
class CleaningWanted:
    """A cleaning run has something to do."""

    run_id: int
