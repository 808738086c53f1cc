"""What is written in one go: a month of a source, or a piece of one that has too many rows for that.

A piece holds the rows of a month with ids from one number to another. Ids never change, so that a row is in one piece only,
whenever that was written; and each piece has a snapshot of its own. Finished pieces of a month wait on the list as drafts, where
nobody asks them, until the last of them is there: then they take the place of what the month had. So a month of any size is
written in steps of some seconds, and whoever is killed in between loses one of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

from tags.columns.service.shelf import Chunk, Copy, Source

ROWS = 5_000_000  # of one piece: 15 to 30 s; a worker's job has 300


@dataclass(frozen=True)
class Part:
    """What is to be written.

    :param before: how it was written last, if that is of use
    :param begin: the first id that belongs to it; None: from the first there is
    :param end: the first id that does not; None: up to the last there will be
    """

    source: Source
    month: date | None
    before: Chunk | None = None
    begin: int | None = None
    end: int | None = None

    @property
    def place(self) -> tuple[Source, date | None]:
        """What it is called among troubles."""
        return self.source, self.month

    def holds(self, chunk: Chunk) -> bool:
        """Whether all that a file has belongs to this part."""
        begins = self.begin is None or (chunk.begin is not None and chunk.begin >= self.begin)
        ends = self.end is None or (chunk.end is not None and chunk.end <= self.end)
        return (chunk.source, chunk.month) == self.place and begins and ends


def part_of(chunk: Chunk, *, anew: bool) -> Part:
    """What has to be written to have a file as the rows are now.

    :param anew: the rows of the file are of no use; as they are where it has grown to several pieces
    """
    before = None if anew or chunk.rows > 2 * ROWS else chunk
    return Part(chunk.source, chunk.month, before, chunk.begin, chunk.end)


def drafts_of(copy: Copy, part: Part) -> list[Chunk]:
    """The pieces of a part that wait for the others, from its beginning on without a gap."""
    found: list[Chunk] = []
    drafts = {each.begin: each for each in copy.drafts if part.holds(each)}
    begin = part.begin
    while begin in drafts:
        found.append(drafts.pop(begin))
        begin = found[-1].end
    return found


def rest_of(copy: Copy, part: Part) -> Part:
    """What is left to write of a part: what was begun anew is not mended any more."""
    drafts = drafts_of(copy, part)
    return replace(part, before=None, begin=drafts[-1].end) if drafts else part
