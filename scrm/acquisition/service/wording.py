"""Filling ``{customer}``, ``{staff}`` and ``{corp}`` into a text.

One pass over the template, and values are never looked at again: a nickname may hold braces, ``$``, ``\\`` or the name
of another variable and comes out as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from scrm.wecom.attachments import TEXT_BYTES

CUSTOMER, STAFF, CORP = "customer", "staff", "corp"
VARIABLES = (CUSTOMER, STAFF, CORP)


def names(template: str, variable: str) -> bool:
    """Whether the template uses the variable."""
    return f"{{{variable}}}" in template


def fill(template: str, values: Mapping[str, str], limit: int = TEXT_BYTES) -> str:
    """The template with its variables filled, at most ``limit`` bytes of UTF-8.

    Where it would become longer, the values are cut, last first, never the template; a template that is too long by
    itself keeps no values.
    """
    parts = split(template)
    room = limit - sum(len(part.encode()) for part, is_variable in parts if not is_variable)
    filled = []
    for part, is_variable in parts:
        piece = cut(values.get(part, ""), room) if is_variable else part
        room -= len(piece.encode()) if is_variable else 0
        filled.append(piece)
    return "".join(filled)


def split(template: str, variables: Collection[str] = VARIABLES) -> list[tuple[str, bool]]:
    """The template as literal pieces (False) and names of variables (True), in order."""
    parts: list[tuple[str, bool]] = []
    literal_from = at = 0
    while (at := template.find("{", at)) >= 0:
        end = template.find("}", at)
        if end > 0 and template[at + 1 : end] in variables:
            parts += [(template[literal_from:at], False), (template[at + 1 : end], True)]
            literal_from = at = end + 1
        else:
            at += 1
    return [*parts, (template[literal_from:], False)]


def cut(value: str, room: int) -> str:
    """As much of ``value`` as fits into ``room`` bytes, without half a character at its end."""
    return value.encode()[: max(room, 0)].decode(errors="ignore")
