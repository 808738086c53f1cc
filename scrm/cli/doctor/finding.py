"""One line of `scrm doctor`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """What one check found.

    :param check: what was looked at
    :param well: whether it is as it should be
    :param detail: what was seen; in Chinese first where WeCom said it
    :param way_out: for a failed check, what to do about it
    :param page: the page of WeCom's admin console where it is mended, by its Chinese names
    """

    check: str
    well: bool
    detail: str
    way_out: str = ""
    page: str = ""
