"""Nicknames whose owners are not welcomed: pattern lists without regular expressions.

Case, width and composition of characters do not matter (``ＶＩＰ`` is ``vip``). A pattern without ``*`` is found
anywhere in a name; with it the whole name must match, each ``*`` standing for any characters or none. The time it
takes grows with the length of name and pattern only; nothing a person types can make it explode.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

ANY = "*"


def is_blocked(name: str, patterns: Iterable[str]) -> bool:
    """Whether any of the patterns matches this name."""
    plain = _plain(name)
    return any(_matches(plain, _plain(pattern)) for pattern in patterns)


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).strip()


def _matches(name: str, pattern: str) -> bool:
    if not pattern.strip(ANY):
        return False  # a pattern of nothing but stars would silence everybody
    if ANY not in pattern:
        return pattern in name
    first, *middle, last = pattern.split(ANY)
    if len(name) < len(first) + len(last) or not (name.startswith(first) and name.endswith(last)):
        return False
    at, end = len(first), len(name) - len(last)
    for piece in middle:
        found = name.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True
