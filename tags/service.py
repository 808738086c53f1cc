"""Who has which tag and why: sources, history and the state towards WeCom.

Everything works on batches: a handful of statements whatever the number of wishes. WeCom is told later, by the jobs of
this package; until it accepted, an assignment is pending, unless its tag is kept here alone (docs/adr/0006-one-condition-compiler.md tells how rules use
this).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Boolean, Text, delete, insert, literal, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.types import TypeEngine

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.events import publish
from tags.arrays import is_one_of, row_table
from tags.events import AssignmentMoved, AssignmentsPending, TagReasonsChanged, TagsChanged
from tags.models import AssignmentState, Preference, Push, TagAssignment, TagChange, TagHistory, TagSource
from tags.tagging.service import contests
from tags.tagging.service.rows import ensure_rows, locked_rows

S = AssignmentState
HELD = {S.PENDING_ADD, S.ACTIVE}
PENDING = {S.PENDING_ADD, S.PENDING_REMOVE}
STANDING = {*HELD, S.FAILED}  # in the running for the one place of an exclusive group


@dataclass(frozen=True)
class Wish:
    """Somebody wants a relation to carry a tag, or no longer wants it.

    :param source: on whose behalf: ``wecom``, ``manual:<actor>``, ``rule:<id>``, ``channel:<id>``
    :param add: False takes only this source away; the tag goes with the last source
    :param run_id: the backfill this belongs to, so that it can be undone
    :param by: who did it, when that is not the source itself
    :param reason: why a rule wants it: ``{"version", "leaves"}``; kept in the history
    :param told: what history calls it, when that is neither added nor removed
    """

    follow_id: int
    tag_id: int
    source: str
    add: bool
    run_id: int | None = None
    by: str | None = None
    reason: Mapping[str, Any] | None = None
    told: TagChange | None = None

    @property
    def key(self) -> tuple[int, int]:
        """The assignment it is about."""
        return self.follow_id, self.tag_id

    @property
    def of_person(self) -> bool:
        """Whether a person asked: people may ask again for what WeCom refused, and overrule rules."""
        return self.source.startswith("manual:")


@dataclass(frozen=True)
class Changes:
    """How many sources were added and taken away."""

    added: int = 0
    removed: int = 0


@dataclass(frozen=True)
class Move:
    """An assignment goes to another state because of a source; ``outranked``: another of its group goes before it."""

    row: Any
    state: AssignmentState
    source: str
    outranked: bool = False

    @property
    def differs(self) -> bool:
        """Whether anything changes."""
        return bool(self.state != self.row.state or self.outranked != self.row.outranked)


def assign(wishes: Sequence[Wish]) -> Changes:
    """Carry out wishes: the last one per relation, tag and source counts; what is already so changes nothing.

    Unknown relations and deleted tags are passed over. Publishes :class:`TagsChanged`.
    """
    wanted = list({(*wish.key, wish.source): wish for wish in wishes}.values())
    if not wanted:
        return Changes()
    groups = contests.exclusive_groups({wish.tag_id for wish in wanted})
    if groups:
        contests.hold_relations({wish.follow_id for wish in wanted})
    ensure_rows({wish.key for wish in wanted if wish.add})
    rows = locked_rows({wish.key for wish in wanted}, groups)
    known = [wish for wish in wanted if wish.key in rows and not (wish.add and rows[wish.key].deleted_at)]
    gained = _add_sources([wish for wish in known if wish.add], rows)
    lost = _drop_sources([wish for wish in known if not wish.add], rows)
    write_history([(rows[wish.key], wish) for wish in gained + lost])
    moves = _moves(known, gained, lost, rows)
    move(keep_one(rows.values(), moves, groups, wanted[0].run_id) if groups else moves)
    return Changes(len(gained), len(lost))


def overrule(keys: Iterable[tuple[int, int]], actor: str) -> Changes:
    """A person takes tags away, whoever set them.

    Sources go, except those of rules: they stay on the removed assignment, so that a rule does not set the tag again
    until its condition stopped holding and holds anew.

    :param keys: (follow id, tag id)
    """
    named = set(keys)
    groups = contests.exclusive_groups({tag_id for _, tag_id in named})
    if groups:
        contests.hold_relations({follow_id for follow_id, _ in named})
    rows = locked_rows(named, groups)
    by_id = {row.id: row for row in rows.values() if _key(row) in named}
    others = (
        delete(TagSource)
        .where(is_one_of(TagSource.assignment_id, by_id), TagSource.source.not_like("rule:%"))
        .returning(TagSource.assignment_id, TagSource.source)
    )
    dropped = [(by_id[row.assignment_id], row.source) for row in session().execute(others)]
    going = [
        Move(row, after_wish(row, wanted=False), actor)
        for row in by_id.values()
        if row.state != S.REMOVED or row.outranked
    ]
    lines = [(row, Wish(*_key(row), source, add=False, by=actor)) for row, source in dropped]
    told = {row.id for row, _ in dropped}
    lines += [(m.row, Wish(*_key(m.row), actor, add=False)) for m in going if m.row.id not in told]
    write_history(lines)
    move(keep_one(rows.values(), going, groups, None) if groups else going)
    return Changes(0, len(lines))


def keep_one(
    rows: Iterable[Any], moves: Sequence[Move], groups: Mapping[int, Preference], run_id: int | None
) -> list[Move]:
    """Add to moves of locked rows what exclusive groups make of them: one tag stays, the others step back."""
    after = {each.row.id: each for each in moves}
    standing = [
        row
        for row in rows
        if row.group_id in groups
        and row.deleted_at is None
        and (after[row.id].state in STANDING if row.id in after else _stands(row))
    ]
    lines: list[tuple[Any, Wish]] = []
    for outcome in (found := contests.outcomes(standing, groups)):
        winner = outcome.winner
        if winner.id not in after and winner.outranked:
            after[winner.id] = Move(winner, after_wish(winner, wanted=True), outcome.source)
            lines.append((winner, Wish(*_key(winner), outcome.source, add=True, told=TagChange.RETURNED)))
        for row, reasons in outcome.losers:
            of_rules = any(reason.of_rule for reason in reasons)
            after[row.id] = Move(row, after_wish(row, wanted=False), outcome.source, outranked=of_rules)
            if of_rules and not row.outranked:
                best = max(reasons, key=lambda reason: reason.rank).source
                told = Wish(*_key(row), best, add=False, by=f"tag:{winner.tag_id}", told=TagChange.OUTRANKED)
                lines.append((row, told))
    dropped = contests.forget_once(loser for outcome in found for loser in outcome.losers)
    by_tag = {row.id: f"tag:{outcome.winner.tag_id}" for outcome in found for row, _ in outcome.losers}
    lines += [
        (row, Wish(*_key(row), source, add=False, run_id=run_id, by=by_tag[row.id]))
        for row, source in dropped
    ]
    write_history(lines)
    return list(after.values())


def _stands(row: Any) -> bool:
    return row.state in STANDING or bool(row.outranked)


def after_wish(row: Any, *, wanted: bool) -> AssignmentState:
    """The state of an assignment that is now wanted, or no longer wanted.

    While a call is on its way its outcome is open, so the opposite must be asked for after it; otherwise a change
    that WeCom never heard of is simply taken back. A tag that is kept here alone is there, or not, at once.
    """
    if row.push == Push.LOCAL:
        return S.ACTIVE if wanted else S.REMOVED
    in_flight = row.effect_id is not None
    if wanted:
        waiting = S.PENDING_ADD if in_flight else S.ACTIVE
        to = {S.REMOVED: S.PENDING_ADD, S.FAILED: S.PENDING_ADD, S.PENDING_REMOVE: waiting}
    else:
        waiting = S.PENDING_REMOVE if in_flight else S.REMOVED
        refused = S.REMOVED if row.effect_adds else S.PENDING_REMOVE
        to = {S.ACTIVE: S.PENDING_REMOVE, S.PENDING_ADD: waiting, S.FAILED: refused}
    state: AssignmentState = row.state
    return to.get(state, state)


def move(moves: Sequence[Move]) -> None:
    """Write new states of locked assignments, and tell who listens."""
    moves = [each for each in moves if each.differs]
    if not moves:
        return
    now = utcnow()
    types = {"id": BigInteger, "state": Text, "outranked": Boolean}
    new = row_table("new", types, [(each.row.id, each.state.value, each.outranked) for each in moves])
    session().execute(
        update(TagAssignment)
        .where(TagAssignment.id == new.c.id)
        .values(
            state=new.c.state,
            outranked=new.c.outranked,
            version=TagAssignment.version + 1,
            changed_at=now,
            error=None,
        )
        .execution_options(synchronize_session=False)
    )
    announce(moves, now)
    if any(each.state in PENDING for each in moves):
        publish(AssignmentsPending())


def announce(moves: Sequence[Move], now: datetime) -> None:
    """Publish which tags were gained or lost by moves from ``row.state`` to ``state``."""
    added: dict[tuple[int, str], set[int]] = defaultdict(set)
    removed: dict[tuple[int, str], set[int]] = defaultdict(set)
    for each in moves:
        row, held = each.row, each.state in HELD
        if held == (row.state in HELD):
            continue
        (added if held else removed)[row.customer_id, each.source].add(row.tag_id)
        publish(
            AssignmentMoved(
                row.id, row.version + 1, row.customer_id, row.follow_id, row.tag_id, held, each.source, now
            )
        )
    for customer_id, source in sorted(added.keys() | removed.keys()):
        gained, lost = added[customer_id, source], removed[customer_id, source]
        publish(TagsChanged(customer_id, tuple(sorted(gained)), tuple(sorted(lost)), source))


def write_history(lines: Sequence[tuple[Any, Wish]]) -> None:
    """A line of history for each (assignment, wish that was carried out); told to who looks at reasons."""
    if not lines:
        return
    publish(
        TagReasonsChanged(tuple(sorted({(row.customer_id, row.tag_id, wish.source) for row, wish in lines})))
    )
    types: dict[str, type[TypeEngine[Any]] | TypeEngine[Any]] = {
        "customer_id": BigInteger,
        "follow_id": BigInteger,
        "tag_id": BigInteger,
        "change": Text,
        "source": Text,
        "by": Text,
        "run_id": BigInteger,
        "reason": JSONB(none_as_null=True),
    }
    values = [
        (
            row.customer_id,
            row.follow_id,
            row.tag_id,
            (wish.told or (TagChange.ADDED if wish.add else TagChange.REMOVED)).value,
            wish.source,
            wish.by,
            wish.run_id,
            wish.reason,
        )
        for row, wish in lines
    ]
    new = row_table("new", types, values)
    columns = select(*new.c, literal(utcnow()))
    session().execute(insert(TagHistory).from_select([*types, "at"], columns))


def _key(row: Any) -> tuple[int, int]:
    return row.follow_id, row.tag_id


def _add_sources(wishes: Sequence[Wish], rows: dict[tuple[int, int], Any]) -> list[Wish]:
    """Write the sources that are new; returns the wishes that made a difference."""
    if not wishes:
        return []
    by_source = {(rows[wish.key].id, wish.source): wish for wish in wishes}
    new = row_table("new", {"assignment_id": BigInteger, "source": Text}, sorted(by_source))
    values = select(new.c.assignment_id, new.c.source, literal(utcnow()))
    made = (
        upsert(TagSource)
        .from_select(["assignment_id", "source", "since"], values)
        .on_conflict_do_nothing()
        .returning(TagSource.assignment_id, TagSource.source)
    )
    return [by_source[row.assignment_id, row.source] for row in session().execute(made)]


def _drop_sources(wishes: Sequence[Wish], rows: dict[tuple[int, int], Any]) -> list[Wish]:
    """Delete sources; returns the wishes that made a difference."""
    if not wishes:
        return []
    by_source = {(rows[wish.key].id, wish.source): wish for wish in wishes}
    going = row_table("going", {"assignment_id": BigInteger, "source": Text}, sorted(by_source))
    gone = (
        delete(TagSource)
        .where(TagSource.assignment_id == going.c.assignment_id, TagSource.source == going.c.source)
        .returning(TagSource.assignment_id, TagSource.source)
        .execution_options(synchronize_session=False)
    )
    return [by_source[row.assignment_id, row.source] for row in session().execute(gone)]


def _moves(
    known: Sequence[Wish], gained: Sequence[Wish], lost: Sequence[Wish], rows: dict[tuple[int, int], Any]
) -> list[Move]:
    """Which assignments change state: those wanted anew, and those that nobody wants any more."""
    again = [w for w in known if w.add and w.of_person and rows[w.key].state in {S.FAILED, S.REMOVED}]
    wanted = {wish.key: wish for wish in [*gained, *again]}
    unwanted = {wish.key: wish for wish in lost if wish.key not in wanted}
    kept = with_sources(rows[key].id for key in unwanted)
    moves = [Move(rows[key], after_wish(rows[key], wanted=True), wish.source) for key, wish in wanted.items()]
    moves += [
        Move(rows[key], after_wish(rows[key], wanted=False), wish.source)
        for key, wish in unwanted.items()
        if rows[key].id not in kept
    ]
    return moves


def with_sources(assignment_ids: Iterable[int]) -> set[int]:
    """Those of the assignments that somebody still wants."""
    statement = (
        select(TagSource.assignment_id)
        .where(is_one_of(TagSource.assignment_id, assignment_ids), TagSource.spent_at.is_(None))
        .distinct()
    )
    return set(session().scalars(statement))
