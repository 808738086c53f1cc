"""Sets in Redis, for every process; it may be emptied at any moment, and a Redis that is away costs only time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pyroaring import BitMap64
from redis import Redis

from scrm.kernel.clock import from_epoch, utcnow
from scrm.kernel.kept import kept
from scrm.kernel.settings import settings
from scrm.kernel.snapshots import Snapshot
from scrm.wecom.store import SharedStore, StoreAway
from tags.sets.service.memory import OVERHEAD, KeptSet

PREFIX = "scrm:sets:"
USED, SIZES = PREFIX + "used", PREFIX + "bytes"
# A set is written whole or not at all, and never over a newer one.
SAVE = """
local known = redis.call('HGET', KEYS[1], 'as_of')
if known and tonumber(known) > tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], 'key', ARGV[1], 'snapshot', ARGV[2], 'as_of', ARGV[3], 'bits', ARGV[4],
  'customers', ARGV[7])
redis.call('HSET', KEYS[2], ARGV[5], ARGV[6])
redis.call('ZADD', KEYS[3], 'NX', ARGV[3], ARGV[5])
return 1
"""
# Nothing changed in between: the bits stay, the moment moves on.
RENEW = """
if redis.call('HGET', KEYS[1], 'as_of') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'snapshot', ARGV[2], 'as_of', ARGV[3])
return 1
"""
TOUCH = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HINCRBY', KEYS[1], 'hits', ARGV[1])
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[3])
return 1
"""


@dataclass(frozen=True)
class Shelved:
    """What is told of a set in Redis.

    :param customers: how many are in it; ``bytes`` what room it takes
    :param hits: how often it was asked for
    """

    digest: str
    key: str
    customers: int
    bytes: int
    hits: int
    as_of: datetime
    used_at: datetime


def digest_of(key: str) -> str:
    """The name of a set in Redis; of another zone's days it is another set."""
    return hashlib.blake2s(f"{settings().corp.timezone} {key}".encode(), digest_size=12).hexdigest()


def _place(digest: str) -> str:
    return f"{PREFIX}set:{digest}"


def _ask(question: Callable[[Redis], Any]) -> Any:
    """What Redis answers; None when it is away."""
    store = kept("scrm_sets_store", lambda: SharedStore(settings().redis_url.get_secret_value()))
    with suppress(StoreAway):
        return store.ask(question)
    return None


def load(keys: Iterable[str]) -> dict[str, KeptSet]:
    """Those that are there; one that cannot be read counts as missing."""
    wanted = list(keys)
    if not wanted:
        return {}

    def question(client: Redis) -> Any:
        pipe = client.pipeline(transaction=False)
        for key in wanted:
            pipe.hmget(_place(digest_of(key)), ["key", "snapshot", "as_of", "bits"])
        return pipe.execute()

    rows = _ask(question) or []
    read = {key: _read(key, row) for key, row in zip(wanted, rows, strict=False)}
    return {key: each for key, each in read.items() if each is not None}


def _read(key: str, row: Any) -> KeptSet | None:
    said, snapshot, as_of, bits = row
    if said is None or bits is None or said.decode() != key:
        return None
    with suppress(ValueError):
        return KeptSet(
            BitMap64.deserialize(bits), Snapshot.parse(snapshot.decode()), from_epoch(float(as_of))
        )
    return None


def save(sets: Mapping[str, KeptSet]) -> None:
    """Keep these for everybody, each whole; then let go what is used least while they take too much room."""

    def question(client: Redis) -> None:
        pipe = client.pipeline(transaction=False)
        for key, each in sets.items():
            digest, bits = digest_of(key), each.bits.serialize()
            said: list[Any] = [
                key, str(each.snapshot), _moment(each.as_of), bits, digest, len(bits) + OVERHEAD,
                len(each.bits),
            ]  # fmt: skip
            pipe.eval(SAVE, 3, _place(digest), SIZES, USED, *said)
        pipe.execute()
        _make_room(client)

    if sets:
        _ask(question)


def replace(sets: Mapping[str, KeptSet]) -> None:
    """Put these in place of what is there, whatever it says of its age."""
    forget(digest_of(key) for key in sets)
    save(sets)


def renew(sets: Mapping[str, KeptSet], snapshot: Snapshot, as_of: datetime) -> None:
    """These are still right at a later moment."""

    def question(client: Redis) -> None:
        pipe = client.pipeline(transaction=False)
        for key, each in sets.items():
            said = [_moment(each.as_of), str(snapshot), _moment(as_of)]
            pipe.eval(RENEW, 1, _place(digest_of(key)), *said)
        pipe.execute()

    if sets:
        _ask(question)


def _moment(at: datetime) -> str:
    return f"{at.timestamp():.6f}"


def _make_room(client: Any) -> None:
    most = settings().sets.redis_megabytes * 1024 * 1024
    total = sum(int(size) for size in client.hvals(SIZES))
    while total > most and (oldest := client.zpopmin(USED)):
        digest = oldest[0][0].decode()
        total -= int(client.hget(SIZES, digest) or 0)
        _drop(client, digest)


def room_taken() -> float:
    """What part of the room in Redis is taken."""
    sizes = _ask(lambda client: client.hvals(SIZES)) or []
    return sum(map(int, sizes)) / (settings().sets.redis_megabytes * 1024 * 1024)


def _drop(client: Redis, digest: str) -> None:
    pipe = client.pipeline(transaction=False)
    pipe.delete(_place(digest))
    pipe.hdel(SIZES, digest)
    pipe.zrem(USED, digest)
    pipe.execute()


def tell_used(used: Mapping[str, int]) -> None:
    """These sets were asked for so often since the last time."""
    now = utcnow().timestamp()

    def question(client: Redis) -> None:
        pipe = client.pipeline(transaction=False)
        for key, times in used.items():
            digest = digest_of(key)
            pipe.eval(TOUCH, 2, _place(digest), USED, times, now, digest)
        pipe.execute()

    if used:
        _ask(question)


def shelved() -> list[Shelved]:
    """What Redis holds, most recently used first."""
    return _ask(lambda client: list(_shelved(client))) or []


def _shelved(client: Any) -> Iterator[Shelved]:
    used = client.zrevrange(USED, 0, -1, withscores=True)
    digests = [digest.decode() for digest, _ in used]
    if not digests:
        return
    pipe = client.pipeline(transaction=False)
    for digest in digests:
        pipe.hmget(_place(digest), ["key", "as_of", "hits", "customers"])
    sizes = client.hmget(SIZES, digests)
    for (_, at), digest, size, (key, as_of, hits, customers) in zip(
        used, digests, sizes, pipe.execute(), strict=True
    ):
        if key is not None and as_of is not None:
            moments = from_epoch(float(as_of)), from_epoch(at)
            figures = int(customers or 0), int(size or 0), int(hits or 0)
            yield Shelved(digest, key.decode(), *figures, *moments)


def used_keys(since: datetime) -> list[str]:
    """Keys of the sets that were asked for since a moment, most recently used first."""
    return [each.key for each in shelved() if each.used_at >= since]


def forget(digests: Iterable[str]) -> None:
    """Drop sets."""

    def question(client: Redis) -> None:
        for digest in digests:
            _drop(client, digest)

    _ask(question)
