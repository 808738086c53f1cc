"""Elements of a large XML file one after the other, never the whole of it.

Expat parses and builds them, both in C; finished ones are handed out and forgotten. What never ends is refused: one
element, or what stands before the first, may be PATIENCE bytes long.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import IO, Any
from xml.etree.ElementTree import Element, XMLPullParser

from scrm.kernel.errors import InvalidInput

PIECE = 64 * 1024
PATIENCE = 4 * 1024 * 1024  # of XML; a row of 200 cells has some 20 KB
MARKUP = b"<!DOCTYPE"
OVERLAP = len(MARKUP)
PLAIN_XML = (b"<", b"\xef\xbb\xbf", b"\r", b"\n", b" ", b"\t")


def local_name(element: Element) -> str:
    """The name without its namespace: there are two of them for the same thing (transitional and strict)."""
    return element.tag.rpartition("}")[2]


def children(content: IO[bytes], within: str = "") -> Iterator[Element]:
    """Children of the outermost element, or of its first child of a name, each when it is whole.

    :param content: UTF-8; it is read to its end, so that its checksum is looked at
    :raises InvalidInput: another encoding, a document type (it may define what grows), an element without end
    :raises xml.etree.ElementTree.ParseError: no XML
    """
    tree = _Growing(within)
    for piece in _pieces(content):
        yield from tree.feed(piece)
    yield from tree.end()


def _pieces(content: IO[bytes]) -> Iterator[bytes]:
    tail = b""
    while piece := content.read(PIECE):
        if not tail and not piece.startswith(PLAIN_XML):
            raise InvalidInput.field("file", "holds XML in another encoding than UTF-8; save it again")
        if MARKUP in tail + piece:
            raise InvalidInput.field("file", "holds a document type, as no XLSX file does; save it again")
        tail = piece[-OVERLAP:]
        yield piece


class _Growing:
    """A tree that grows at its end and is emptied from its beginning."""

    def __init__(self, within: str) -> None:
        self._within = within
        self._parser: XMLPullParser[Any] = XMLPullParser(("start",))  # the outermost one is told no other way
        self._root: Element | None = None
        self._unfinished = 0

    def feed(self, piece: bytes) -> Iterator[Element]:
        """The elements that became whole."""
        self._parser.feed(piece)
        self._unfinished += len(piece)
        events = self._parser.read_events()
        if self._root is None:
            first: Any = next(events, None)
            self._root = None if first is None else first[1]
        deque(events, maxlen=0)
        yield from self._whole(last=1)
        if self._unfinished > PATIENCE:
            raise InvalidInput.field("file", "holds an element that does not end; save it again")

    def end(self) -> Iterator[Element]:
        """What is left when everything was read."""
        self._parser.close()
        deque(self._parser.read_events(), maxlen=0)
        yield from self._whole(last=0)

    def _whole(self, last: int) -> Iterator[Element]:
        """:param last: how many of the last elements are not whole yet"""
        parent, over = self._parent()
        if parent is None:
            return
        ready = len(parent) - (0 if over else last)
        if ready > 0:
            self._unfinished = 0
            yield from parent[:ready]
            del parent[:ready]

    def _parent(self) -> tuple[Element | None, bool]:
        """(the element whose children are wanted, if it was met; whether it is closed)."""
        root = self._root
        if root is None or not self._within:
            return root, False
        place = next((n for n, one in enumerate(root) if local_name(one) == self._within), None)
        if place is None:
            del root[:-1]
            return None, False
        over = len(root) > place + 1
        if over:  # what follows is of no use; it was parsed so that it is known to be whole
            self._unfinished = 0
            del root[place + 2 :]
        return root[place], over
