"""Persons, what identifies them, what is known of them, and how two of them became one.

A person who was merged keeps the row, with ``merged_into``: the number stays an address, and an unmerge only takes the
mark away.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, Computed, ForeignKey, Index, Numeric, UniqueConstraint, text
from sqlalchemy import Identity as SqlIdentity
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from scrm.kernel.db import CreatedAt, Id, Model, UpdatedAt, enum_text
from scrm.people.registry import person_table


class MatchKind(StrEnum):
    """Why two persons are put side by side."""

    SHARED = "shared"  # one record names identities of both, and nothing speaks against one person
    CONFLICT = "conflict"  # one record names identities of both, and something speaks against it
    ALIKE = "alike"  # names, phones or addresses are alike


class MatchState(StrEnum):
    """Where the decision stands."""

    WANTED = "wanted"  # will be merged by the job, without a person's decision
    OPEN = "open"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


class Person(Model):
    """Somebody; with customers of WeCom, or not yet."""

    __tablename__ = "people"
    __table_args__ = (
        Index("ix_people_merged_into", "merged_into", postgresql_where=text("merged_into IS NOT NULL")),
    )

    id: Mapped[Id]
    merged_into: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    created_at: Mapped[CreatedAt]


@person_table("identities")
class PersonIdentity(Model):
    """A value that identifies one person.

    :cvar via_id: the identity by which the person was known when this one was added
    """

    __tablename__ = "identities"
    __table_args__ = (UniqueConstraint("kind", "value"),)

    id: Mapped[Id]
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"), index=True)
    kind: Mapped[str]  # Identity.kind
    value: Mapped[str]
    source: Mapped[str]
    via_id: Mapped[int | None]
    since: Mapped[CreatedAt]


class CustomerPerson(Model):
    """The person behind a customer; a customer has exactly one, and follows its external_userid."""

    __tablename__ = "customer_people"
    # From a person to the customers without a look at the table, in the order of persons: sets of facts are merged with it.
    __table_args__ = (Index("ix_customer_people_person_id", "person_id", postgresql_include=["customer_id"]),)

    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id", ondelete="CASCADE"), primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"))


person_table("customer_people")


class IdentityClaim(Model):
    """A record that is another person's named this value too: once too many claim it, it identifies nobody."""

    __tablename__ = "identity_claims"

    kind: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str] = mapped_column(primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"), primary_key=True, index=True)
    source: Mapped[str]
    at: Mapped[CreatedAt]


class BlockedValue(Model):
    """A value that identifies nobody any more: too many claimed it, or somebody said so.

    :cvar note: in whose words why
    :cvar person_id: whose it was when somebody blocked it; gets it back when the block is lifted
    """

    __tablename__ = "blocked_values"

    kind: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[int] = mapped_column(
        SqlIdentity(), unique=True
    )  # its address: the value must not stand in one
    reason: Mapped[str]  # shared | apikey:… (who said so)
    note: Mapped[str | None]
    person_id: Mapped[int | None]
    at: Mapped[CreatedAt]


class PersonMatch(Model):
    """Two persons who may be one. ``low_id`` < ``high_id``; a rejected pair is never put before anybody again."""

    __tablename__ = "person_matches"
    __table_args__ = (
        UniqueConstraint("low_id", "high_id"),
        CheckConstraint("low_id < high_id", name="ordered"),
        Index("ix_person_matches_state", "state", "id", postgresql_where=text("state IN ('open', 'wanted')")),
    )

    id: Mapped[Id]
    low_id: Mapped[int] = mapped_column(ForeignKey("people.id"))
    high_id: Mapped[int] = mapped_column(ForeignKey("people.id"), index=True)
    keep_id: Mapped[int]  # whom a merge would keep
    kind: Mapped[MatchKind] = mapped_column(enum_text(MatchKind))
    state: Mapped[MatchState] = mapped_column(enum_text(MatchState))
    score: Mapped[float | None]  # 0 to 1, of those that are alike
    reasons: Mapped[list[Any]]  # [{"code": …, …}]
    decided_by: Mapped[str | None]
    decided_at: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]


class Merge(Model):
    """``gone_id`` became part of ``kept_id``; the journal that undoes it."""

    __tablename__ = "merges"
    __table_args__ = (
        Index("ix_merges_gone_id", "gone_id", unique=True, postgresql_where=text("undone_at IS NULL")),
        Index("ix_merges_kept_id", "kept_id"),
    )

    id: Mapped[Id]
    kept_id: Mapped[int] = mapped_column(ForeignKey("people.id"))
    gone_id: Mapped[int] = mapped_column(ForeignKey("people.id"))
    by: Mapped[str]
    consents: Mapped[list[Any]] = mapped_column(server_default=text("'[]'"))  # the kept person's before
    at: Mapped[CreatedAt]
    undone_at: Mapped[datetime | None]
    undone_by: Mapped[str | None]


class MergeMove(Model):
    """What one merge moved out of one table: primary keys of moved rows, and whole rows that were put away."""

    __tablename__ = "merge_moves"

    merge_id: Mapped[int] = mapped_column(ForeignKey("merges.id", ondelete="CASCADE"), primary_key=True)
    table: Mapped[str] = mapped_column(primary_key=True)
    keys: Mapped[list[Any]]  # [{column: value}] of the primary key, without the person's own column
    aside: Mapped[list[Any]]  # whole rows


@person_table("person_values")
class PersonValue(Model):
    """One thing that one source said about one field; null: the source says there is none."""

    __tablename__ = "person_values"
    __table_args__ = (
        Index("ix_person_values_person_id_field", "person_id", "field"),
        Index(  # files are named by their numbers: which values name one
            "ix_person_values_number",
            "field",
            "value",
            postgresql_where=text("jsonb_typeof(value) = 'number'"),
        ),
    )

    id: Mapped[Id]
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"))
    field: Mapped[str]
    value: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    source: Mapped[str]
    at: Mapped[datetime]


class PersonField(Model):
    """The value that stands, worked out of ``person_values`` by the field's rule; no row: none is known.

    Conditions read ``value_text`` (texts, dates as YYYY-MM-DD, choices), ``value_num``, and ``value`` of lists.
    """

    __tablename__ = "person_fields"
    __table_args__ = (
        Index("ix_person_fields_field_value_text", "field", "value_text", "person_id"),
        Index("ix_person_fields_field_value_num", "field", "value_num", "person_id"),
        Index(
            "ix_person_fields_list",
            "value",
            postgresql_using="gin",
            postgresql_ops={"value": "jsonb_path_ops"},
            postgresql_where=text("jsonb_typeof(value) = 'array'"),
        ),
    )

    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"), primary_key=True)
    field: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[Any] = mapped_column(JSONB)
    value_text: Mapped[str | None] = mapped_column(
        Computed(
            "CASE WHEN jsonb_typeof(value) = 'string' THEN left(value #>> '{}', 200) END", persisted=True
        )
    )
    value_num: Mapped[Any | None] = mapped_column(
        Numeric,
        Computed("CASE WHEN jsonb_typeof(value) = 'number' THEN CAST(value AS numeric) END", persisted=True),
    )
    source: Mapped[str]
    at: Mapped[datetime]


class CustomField(Model):
    """A field that this company keeps of people, beside the built-in ones."""

    __tablename__ = "fields"

    id: Mapped[Id]
    key: Mapped[str] = mapped_column(unique=True)
    type: Mapped[str]  # FieldType
    name_zh: Mapped[str]
    name_en: Mapped[str]
    choices: Mapped[list[Any]] = mapped_column(server_default=text("'[]'"))  # [{"value", "zh", "en"}]
    limits: Mapped[dict[str, Any]] = mapped_column(
        server_default=text("'{}'")
    )  # min, max, max_length, pattern
    required: Mapped[bool] = mapped_column(server_default=text("false"))
    position: Mapped[int] = mapped_column(server_default=text("0"))
    survivorship: Mapped[str]  # Survivorship
    trusted: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))  # sources, most trusted first
    seen_with: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))  # permissions, any; empty: all
    written_with: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    archived_at: Mapped[datetime | None]
    choosing_after: Mapped[int | None]  # a new rule chose values of persons up to this id; null: of everybody
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]


class PersonConsent(Model):
    """Whether a person may be contacted over a channel; of two persons who become one, the refusal stays."""

    __tablename__ = "person_consents"
    __table_args__ = (  # who said yes or no about a channel, lately too, without a look at the table
        Index(
            "ix_person_consents_channel_contactable_person_id",
            "channel",
            "contactable",
            "person_id",
            postgresql_include=["at"],
        ),
    )

    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"), primary_key=True)
    channel: Mapped[str] = mapped_column(primary_key=True)
    contactable: Mapped[bool]
    source: Mapped[str]
    at: Mapped[datetime]


@person_table("person_records")
class PersonRecord(Model):
    """A record of another system that was taken in: the same again changes nothing."""

    __tablename__ = "person_records"

    source: Mapped[str] = mapped_column(primary_key=True)
    source_id: Mapped[str] = mapped_column(primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"), index=True)
    fingerprint: Mapped[bytes]
    at: Mapped[datetime]


class AlikeKey(Model):
    """What persons who may be one have in common (a phone's tail, a name ...), as a hash; made anew every night, gone when compared."""

    __tablename__ = "alike_keys"

    key: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    person_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


class QualityReport(Model):
    """How good what is known of people was on one day."""

    __tablename__ = "quality_reports"

    id: Mapped[Id]
    at: Mapped[CreatedAt]
    figures: Mapped[dict[str, Any]]


class CleaningState(StrEnum):
    """Where a cleaning run stands."""

    SCANNING = "scanning"
    READY = "ready"  # the preview is complete
    APPLYING = "applying"
    DONE = "done"
    UNDOING = "undoing"
    UNDONE = "undone"
    CANCELLED = "cancelled"


class CleaningRun(Model):
    """One look at every value that was ever said, and the repair of those that are not right by today's rules."""

    __tablename__ = "cleaning_runs"
    __table_args__ = (
        Index(
            "uq_cleaning_runs_open",
            text("(true)"),
            unique=True,
            postgresql_where=text("state IN ('scanning', 'ready', 'applying', 'undoing')"),
        ),
    )

    id: Mapped[Id]
    state: Mapped[CleaningState] = mapped_column(enum_text(CleaningState))
    reached: Mapped[int] = mapped_column(server_default=text("0"))  # values (by id) up to this one are done
    looked_at: Mapped[int] = mapped_column(server_default=text("0"))
    by: Mapped[str]
    created_at: Mapped[CreatedAt]
    finished_at: Mapped[datetime | None]


class CleaningItem(Model):
    """One value that is not right: ``after`` is what it would become, null: it is taken away."""

    __tablename__ = "cleaning_items"
    __table_args__ = (Index("ix_cleaning_items_person_id", "person_id"),)

    run_id: Mapped[int] = mapped_column(ForeignKey("cleaning_runs.id", ondelete="CASCADE"), primary_key=True)
    value_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # of person_values
    person_id: Mapped[int]
    field: Mapped[str]
    row: Mapped[dict[str, Any]]  # the whole row of person_values as it was
    after: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    problem: Mapped[str]
    applied: Mapped[bool] = mapped_column(server_default=text("false"))
