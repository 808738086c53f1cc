"""How alike are two persons? Between 0 and 1, with the reasons; nothing is read or written here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rapidfuzz import fuzz

THRESHOLD = 0.7
WEIGHTS = {
    "phone": 0.9,
    "phone_tail": 0.6,
    "email": 0.9,
    "email_name": 0.5,
    "name": 0.5,
    "address": 0.4,
    "birthday": 0.4,
}
"""How much each likeness says by itself; together 1 - (1 - a)(1 - b)…: a name alone never reaches the threshold, a name
with a birthday, an address or the tail of a phone does."""
DIFFERING_BIRTHDAY, DIFFERING_GENDER = 0.5, 0.7  # factors
TAIL_DIGITS = 8


@dataclass(frozen=True)
class Features:
    """What is compared of a person. ``phones`` also holds what staff noted in remarks: too weak to identify."""

    person_id: int
    names: tuple[str, ...] = ()
    phones: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    address: str = ""
    birthday: str | None = None
    gender: str | None = None


@dataclass(frozen=True)
class Likeness:
    """The score, and how much each part is alike: ``{"code": "alike", "part", "score"}``; never a value."""

    score: float
    reasons: tuple[dict[str, Any], ...]


def likeness(one: Features, other: Features) -> Likeness:
    """Compare two persons."""
    parts = {
        **_phones(one.phones, other.phones),
        **_emails(one.emails, other.emails),
        "name": _best(one.names, other.names),
        "address": _stretched(fuzz.token_set_ratio(_plain(one.address), _plain(other.address)))
        if one.address and other.address
        else 0.0,
        "birthday": 1.0 if one.birthday and one.birthday == other.birthday else 0.0,
    }
    unlike = 1.0
    for part, alike in parts.items():
        unlike *= 1 - WEIGHTS[part] * alike
    score, reasons = 1 - unlike, [_reason("alike", part, alike) for part, alike in parts.items() if alike]
    for part, factor in (("birthday", DIFFERING_BIRTHDAY), ("gender", DIFFERING_GENDER)):
        mine, theirs = getattr(one, part), getattr(other, part)
        if mine and theirs and mine != theirs:
            score *= factor
            reasons.append(_reason("differs", part, factor))
    return Likeness(round(score, 3), tuple(reasons))


def _reason(code: str, part: str, score: float) -> dict[str, Any]:
    return {"code": code, "part": part, "score": round(score, 2)}


def _phones(mine: Sequence[str], theirs: Sequence[str]) -> dict[str, float]:
    """Equal with or without country code, or only the last digits."""
    pairs = [(_digits(a), _digits(b)) for a in mine for b in theirs]
    pairs = [(a, b) for a, b in pairs if min(len(a), len(b)) >= TAIL_DIGITS]
    if any(min(len(a), len(b)) >= 10 and (a.endswith(b) or b.endswith(a)) for a, b in pairs):
        return {"phone": 1.0}
    return {"phone_tail": 1.0} if any(a[-TAIL_DIGITS:] == b[-TAIL_DIGITS:] for a, b in pairs) else {}


def _emails(mine: Sequence[str], theirs: Sequence[str]) -> dict[str, float]:
    a, b = ({email.casefold() for email in side} for side in (mine, theirs))
    if a & b:
        return {"email": 1.0}
    names = {email.partition("@")[0] for email in a} & {email.partition("@")[0] for email in b}
    return {"email_name": 1.0} if any(len(name) >= 5 for name in names) else {}


def _best(mine: Iterable[str], theirs: Sequence[str]) -> float:
    """The likest pair of names of at least two characters."""
    ratios = [
        fuzz.ratio(_plain(a), _plain(b)) for a in mine for b in theirs if min(len(_plain(a)), len(_plain(b))) >= 2
    ]  # fmt: skip
    return _stretched(max(ratios, default=0.0))


def _stretched(ratio: float) -> float:
    """0 for what is less alike than four letters of five, 1 for equal."""
    return max(0.0, (ratio / 100 - 0.8) / 0.2)


def _plain(text: str) -> str:
    return re.sub(r"[\s.,·,。()（）-]", "", text).casefold()


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text)
