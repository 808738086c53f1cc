"""How rows are kept: JSON in which a cell says its type where JSON has none, compressed."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import orjson

from scrm.kernel.sheets.cells import Cell

LEVEL = 1  # a tenth of the size already; higher levels cost more than they save
Row = tuple[int, list[Cell]]
"""(number of the row as people see it, its cells)"""

_READERS: dict[str, Callable[[Any], Cell]] = {
    "n": Decimal,
    "f": float,
    "t": datetime.fromisoformat,
    "d": date.fromisoformat,
    "h": time.fromisoformat,
}


def pack(value: Any) -> bytes:
    """JSON of anything orjson takes, compressed."""
    return zlib.compress(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS), LEVEL)


def unpack(packed: bytes | None) -> Any:
    """What :func:`pack` packed; None for nothing."""
    return None if packed is None else orjson.loads(zlib.decompress(packed))


def pack_rows(rows: Sequence[Row]) -> bytes:
    """Rows with every cell exactly as it is."""
    return pack([[number, [_written(cell) for cell in cells]] for number, cells in rows])


def unpack_rows(packed: bytes) -> list[Row]:
    """The rows again."""
    return [(number, [_read(cell) for cell in cells]) for number, cells in unpack(packed)]


def _written(cell: Cell) -> Any:
    if cell is None or isinstance(cell, str | bool | int):
        return cell
    if isinstance(cell, Decimal):
        return {"n": str(cell)}
    if isinstance(cell, float):
        return {"f": cell}
    kind = "t" if isinstance(cell, datetime) else "d" if isinstance(cell, date) else "h"
    return {kind: cell.isoformat()}


def _read(cell: Any) -> Cell:
    if isinstance(cell, dict):
        ((kind, value),) = cell.items()
        return _READERS[kind](value)
    found: Cell = cell
    return found
