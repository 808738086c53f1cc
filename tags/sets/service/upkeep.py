"""Looking after sets without being asked: near the present, warm, compared with SQL; and changes nobody needs are forgotten."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from datetime import timedelta

import structlog
from sqlalchemy import delete, text
from sqlalchemy.dialects.postgresql import insert

from scrm.kernel import metrics
from scrm.kernel.clock import utcnow
from scrm.kernel.crashpoints import reached
from scrm.kernel.db import session
from scrm.kernel.settings import settings
from scrm.kernel.snapshots import oldest_running
from scrm.people.queries.fields import field_specs
from tags.rules.service.bounds import TooSlow, bounded
from tags.sets.models import SetChange, SetHorizon
from tags.sets.queries.changes import look
from tags.sets.service import backing, store
from tags.sets.service.asking import FAMILIES
from tags.sets.service.domains import domain_of, domains
from tags.sets.service.following import is_followed
from tags.sets.service.keeping import asked, asked_within, brought_up, parts
from tags.sets.service.memory import KeptSet
from tags.sets.service.normal_form import leaf_of
from tags.sets.service.watching import EVERYBODY, sources_of

MANY = 20_000  # changed customers with whom asking for the whole set is quicker
WARM_SHARE = 0.5  # of the room in Redis
OLD = 3  # times [sets] kept_minutes
log = structlog.get_logger(__name__)


def used_lately() -> list[str]:
    """Keys of the sets that were used within ``[sets] kept_minutes`` and whose changes are noted, newest use first."""
    since = utcnow() - timedelta(minutes=settings().sets.kept_minutes)
    return [key for key in store.used_keys(since) if sources_of(key) is not None]


def keep(keys: Sequence[str]) -> None:
    """Bring sets in Redis to the present; a slice of them, in a transaction that writes nothing itself.

    Bits of sets that nothing touched stay where they are.
    """
    now = utcnow()
    held = store.load(keys)
    seen = look([each.snapshot for each in held.values()])
    done = brought_up(held, seen, now, MANY)
    reached("sets_patched")
    store.save(done.patched)
    store.renew({key: held[key] for key in done.renewed}, seen.snapshot, now)
    old = now - timedelta(seconds=settings().sets.staleness_seconds)
    ask([key for key in done.left if held[key].as_of < old])


def ask(keys: Collection[str]) -> None:
    """Ask for whole sets and put them into Redis, for everybody; what takes too long is left to who wants it."""
    for some in parts(keys):
        now, seen = utcnow(), look()
        try:
            found = asked_within(some, now, settings().rules.preview_seconds)
        except TooSlow:
            log.warning("a set of customers takes too long", leaf=leaf_of(some[0])["kind"])
            continue
        store.save({key: KeptSet(bits, seen.snapshot, now) for key, bits in found.items()})


def warm(keys: Collection[str]) -> None:
    """Ask for sets before anybody wants them, and bring to the present those that are there."""
    known = {each.key for each in store.shelved()}
    backed = backing.load({*keys} - known)
    store.save(backed)
    known |= backed.keys()
    ask([key for key in keys if key not in known])
    keep([key for key in keys if key in known])


def base_keys() -> list[str]:
    """Sets that most questions need, those that Redis lacks or that nobody brought up to date for long.

    They are: everybody, each tag, each member's customers, each year of fields of days, and of every field of few values one,
    with which those of its other values come. None when they take half the room there is.
    """
    if store.room_taken() >= WARM_SHARE:
        return []
    shelf = {each.key: each.as_of for each in store.shelved()}
    specs = field_specs()
    domain = {key: domain_of(key, specs) for key in shelf}
    there = {each for each in domain.values() if each and not each.yearly}
    base = {EVERYBODY, *(family.key(id_) for family in FAMILIES for id_ in family.ids())}
    base.update(key for each in domains(specs) if each not in there for key in each.base())
    old = utcnow() - timedelta(minutes=settings().sets.kept_minutes / 2)
    aged = [key for key, at in shelf.items() if at < old and (key in base or domain[key])]
    return sorted(base - shelf.keys()) + sorted(aged)


def compare(keys: Sequence[str]) -> int:
    """Compare sets in Redis with SQL, and put right what differs; needs a transaction of one snapshot.

    :returns: customers that were wrong
    """
    now, held = utcnow(), store.load(keys)
    seen = look([each.snapshot for each in held.values()])
    done = brought_up(held, seen, now, MANY)
    ours = done.renewed | done.patched
    try:
        with bounded(settings().rules.look_seconds):
            true = asked(ours.keys(), now)
    except TooSlow:
        log.warning("sets of customers take too long to be compared", sets=len(ours))
        return 0
    wrong = {key: each.bits ^ true[key] for key, each in ours.items() if each.bits != true[key]}
    metrics.SETS_CHECKED.inc(len(ours))
    for key, ids in wrong.items():
        metrics.SETS_DRIFT.inc(len(ids))
        log.warning("a set of customers was wrong", leaf=leaf_of(key)["kind"], customers=len(ids))
    store.replace({key: KeptSet(true[key], seen.snapshot, now) for key in wrong})
    backing.forget(wrong)
    return sum(len(ids) for ids in wrong.values())


def some_keys(count: int) -> list[str]:
    """Sets to compare, drawn at random."""
    keys = [each.key for each in store.shelved() if is_followed(each.key)]
    return random.sample(keys, min(count, len(keys)))


def forget_changes() -> int:
    """Delete changes that are older than ``[sets] kept_minutes``, or up to twice as old; sets that old are asked anew.

    Of a change only the transaction's number tells whether somebody may still need it: what had ended at the last call
    is let go at this one.
    """
    now = utcnow()
    before = session().get(SetHorizon, 1)
    if before is not None and before.marked_at > now - timedelta(minutes=settings().sets.kept_minutes):
        return 0
    below = before.next_below if before else 0
    row = insert(SetHorizon).values(id=1, below=below, next_below=oldest_running(), marked_at=now)
    newer = {name: row.excluded[name] for name in ("below", "next_below", "marked_at")}
    session().execute(row.on_conflict_do_update(index_elements=["id"], set_=newer))
    gone = session().execute(delete(SetChange).where(SetChange.xid < below).returning(SetChange.xid))
    return len(gone.all())


def forget_old_sets() -> None:
    """Drop sets that are older than the changes that are known: they are asked anew whoever wants them."""
    oldest = utcnow() - timedelta(minutes=OLD * settings().sets.kept_minutes)
    store.forget([each.digest for each in store.shelved() if each.as_of < oldest])


def forgetting_due() -> bool:
    """Whether changes were not forgotten for so long."""
    marked = session().scalar(text("SELECT marked_at FROM set_horizon"))
    return marked is None or marked <= utcnow() - timedelta(minutes=settings().sets.kept_minutes)
