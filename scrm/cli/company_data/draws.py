"""Skewed draws: tables of 65,536 places that cost one random number and one look each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from itertools import accumulate
from random import Random

PLACES = 1 << 16
PRIME = 2_654_435_761  # spreads who is busy over all ids (Knuth's multiplicative hash)
HOURS = (1, 1, 1, 1, 1, 2, 4, 8, 12, 14, 16, 16, 18, 16, 14, 14, 15, 16, 18, 22, 28, 26, 16, 6)
WEEKDAYS = (1.0, 0.95, 0.95, 1.0, 1.1, 1.35, 1.3)
SALES = {(6, 18): 4.0, (11, 11): 6.0, (12, 12): 2.5, (3, 8): 1.8, (5, 20): 1.8}
CLOCK = [f"{n // 3600:02d}:{n // 60 % 60:02d}:{n % 60:02d}" for n in range(86_400)]


def table(weights: Sequence[float]) -> list[int]:
    """Indices 0 … n-1 as often as their weight says, over PLACES places."""
    ends = list(accumulate(weights))
    total, found, index = ends[-1], [], 0
    for place in range(PLACES):
        while ends[index] < (place + 0.5) * total / PLACES:
            index += 1
        found.append(index)
    return found


def zipf(count: int, exponent: float = 1.05) -> list[int]:
    """Places of ``count`` things of which the n-th is chosen with weight 1 / n^exponent."""
    return table([1 / (n**exponent) for n in range(1, count + 1)])


def one_of(chooser: Random, places: Sequence[int]) -> Callable[[], int]:
    """A function that draws from a table."""
    bits = chooser.getrandbits
    return lambda: places[bits(16)]


def persons(chooser: Random, count: int, skew: float = 2.0) -> Callable[[], int]:
    """A function that draws person ids 1 … count; the busiest tenth does about a third with a skew of 2."""
    draw = chooser.random
    step = next(n for n in range(PRIME, PRIME + 1000) if _coprime(n, count))
    return lambda: int(count * draw() ** skew) * step % count + 1


def _coprime(first: int, second: int) -> bool:
    while second:
        first, second = second, first % second
    return first == 1


def seconds_of_day(chooser: Random) -> Callable[[], int]:
    """A function that draws a second of a UTC day, by the hours in which people in UTC+8 are awake."""
    hour = one_of(chooser, table([HOURS[(n + 8) % 24] for n in range(24)]))
    return lambda: hour() * 3600 + chooser.randrange(3600)


def shares(total: int, until: date, days: int) -> Iterator[tuple[date, int]]:
    """(day, how many of ``total``) of the last days, oldest first; growth, weekends and sales days stand out."""
    dates = [until - timedelta(days=back) for back in range(days - 1, -1, -1)]
    weights = [_weight(day, place / days) for place, day in enumerate(dates)]
    ends = list(accumulate(weights))
    done = 0
    for day, end in zip(dates, ends, strict=True):
        upto = round(total * end / ends[-1])
        yield day, upto - done
        done = upto


def _weight(day: date, place: float) -> float:
    return (0.6 + 0.8 * place) * WEEKDAYS[day.weekday()] * SALES.get((day.month, day.day), 1.0)
