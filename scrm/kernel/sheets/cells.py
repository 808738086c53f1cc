"""Cells of tables that people open in Excel: what they may hold, and how text is kept from becoming a formula.

A CSV file has no types: Excel, WPS and LibreOffice run a cell as a formula when it begins with ``=``, ``+``, ``-`` or
``@`` (some after white space or a line break, some for the full-width forms that input methods make). So text like that
gets one ``'`` in front, which these programs read as "text follows"; reading takes it away again, so that what was
written is what is read. Values that are numbers are written as numbers: ``-5`` is harmless.

In XLSX every cell says its type, and a cell of type text is never run; nothing is put in front there.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time
from decimal import Decimal

Cell = str | int | float | Decimal | bool | date | datetime | time | None
"""One cell. None: empty. A ``float`` is a number of which Excel has lost digits (:data:`EXACT_DIGITS`); whatever is
exact is an ``int`` or a ``Decimal``."""

EXACT_DIGITS = 15  # what Excel keeps of a number; the rest of longer ones becomes zeros when it saves
DANGEROUS = re.compile(r"'*(?:\s*[=+\-@＝＋－＠﹦﹢﹣﹫]|[\t\r\n])")
GUARDED = re.compile(r"'+(?:\s*[=+\-@＝＋－＠﹦﹢﹣﹫]|[\t\r\n])")


def guarded(text: str) -> str:
    """Text that no spreadsheet runs as a formula; :func:`unguarded` gives it back."""
    return f"'{text}" if DANGEROUS.match(text) else text


def unguarded(text: str) -> str:
    """Text without the mark that :func:`guarded` put in front."""
    return text[1:] if GUARDED.match(text) else text
