"""The strings of a workbook, kept on disk: a sheet names them by number, and there may be millions.

They are kept in blocks, in the order in which they were first used; so whoever reads a sheet from its top stays in a few
blocks, and these are in memory.
"""

from __future__ import annotations

import re
import tempfile
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import lru_cache
from types import TracebackType
from typing import Self
from xml.etree.ElementTree import Element

import orjson

from scrm.kernel.errors import InvalidInput
from scrm.kernel.sheets.elements import local_name

MOST_CHARS = 32_767  # of a cell, by Excel's specification
BLOCK_STRINGS = 512
BLOCK_CHARS = 64 * 1024
BLOCKS = 256  # in memory: 30 MB at most, of short strings 10
ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")


def text_of(element: Element) -> str:
    """The text of an ``si`` or ``is``: of its one ``t`` or of its runs, without what says how to pronounce it.

    :raises InvalidInput: longer than a cell can be
    """
    parts = []
    for child in element:
        name = local_name(child)
        if name == "t":
            parts.append(child.text or "")
        elif name == "r":
            parts += [one.text or "" for one in child if local_name(one) == "t"]
    return plain_text("".join(parts))


def plain_text(text: str) -> str:
    """Text with its characters that XML cannot hold (``_x000D_``); raises InvalidInput when it is too long."""
    if len(text) > MOST_CHARS * 7:  # each may be written as one of seven
        raise _too_long()
    if "_x" in text:
        text = ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)
    if len(text) > MOST_CHARS:
        raise _too_long()
    return text


def _too_long() -> InvalidInput:
    return InvalidInput.field("file", f"has a cell of more than {MOST_CHARS} characters; shorten it")


class Strings:
    """Strings by number, from a file on disk that goes when this is closed."""

    def __init__(self, strings: Iterable[str]) -> None:
        self._strings = strings
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # closed by __exit__
        self._first, self._place = array("Q"), array("Q")
        self._count = 0
        self._block = lru_cache(maxsize=BLOCKS)(self._read)

    def __enter__(self) -> Self:
        try:
            self._keep()
        except BaseException:
            self._file.close()
            raise
        return self

    def _keep(self) -> None:
        for block in _blocks(self._strings):
            self._first.append(self._count)
            self._place.append(self._file.tell())
            self._file.write(orjson.dumps(block))
            self._count += len(block)
        self._place.append(self._file.tell())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._block.cache_clear()
        self._file.close()

    def __getitem__(self, number: int) -> str:
        if not 0 <= number < self._count:
            raise InvalidInput.field("file", f"names the text {number} that it does not hold; save it again")
        block = bisect_right(self._first, number) - 1
        return self._block(block)[number - self._first[block]]

    def _read(self, block: int) -> list[str]:
        self._file.seek(self._place[block])
        found: list[str] = orjson.loads(self._file.read(self._place[block + 1] - self._place[block]))
        return found


def _blocks(strings: Iterable[str]) -> Iterator[list[str]]:
    block: list[str] = []
    chars = 0
    for one in strings:
        block.append(one)
        chars += len(one)
        if len(block) == BLOCK_STRINGS or chars > BLOCK_CHARS:
            yield block
            block, chars = [], 0
    if block:
        yield block
