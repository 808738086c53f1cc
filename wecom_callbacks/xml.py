"""Reads callback XML without building a tree: no document types, no entities, bounded depth.

expat calls us per element and we refuse on the spot, so that a bomb costs no more than the bytes before its first
forbidden part. Size is capped before (``callbacks.max_body_bytes``).
"""

from __future__ import annotations

import re
from typing import Any, Final, NoReturn, cast
from xml.parsers import expat

from wecom_callbacks.refusals import Refusal, Refused

_CDATA_OR_TEXT: Final = rb"(?:<!\[CDATA\[[^\]<>&]*\]\]>|[^\]<>&\x00-\x08]*)"
_ENVELOPE: Final = re.compile(
    rb"\s*<xml>\s*"
    rb"(?:<(?:ToUserName>"
    + _CDATA_OR_TEXT
    + rb"</ToUserName>|AgentID>"
    + _CDATA_OR_TEXT
    + rb"</AgentID>)\s*)*"
    rb"<Encrypt>(?:<!\[CDATA\[([A-Za-z0-9+/=]+)\]\]>|([A-Za-z0-9+/=]+))</Encrypt>\s*"
    rb"(?:<(?:ToUserName>"
    + _CDATA_OR_TEXT
    + rb"</ToUserName>|AgentID>"
    + _CDATA_OR_TEXT
    + rb"</AgentID>)\s*)*"
    rb"</xml>\s*"
)


def encrypted_part(body: bytes, max_depth: int) -> bytes:
    """The text of ``Encrypt`` in the outer XML of a callback.

    WeCom's own shape is read with one pattern (2 µs, against 12 µs for expat); anything else that is XML goes the
    long way.

    :raises Refused: NOT_XML, FORBIDDEN_XML or TOO_DEEP
    """
    found = _ENVELOPE.fullmatch(body)
    if found:
        return cast("bytes", found[1] or found[2])
    encrypted = parse(body, max_depth).get("Encrypt")
    if not isinstance(encrypted, str) or not encrypted.isascii():
        raise Refused(Refusal.NOT_XML)
    return encrypted.strip().encode()


def check(document: bytes, max_depth: int) -> None:
    """Refuse what :func:`parse` would refuse, without keeping anything.

    :raises Refused: NOT_XML, FORBIDDEN_XML or TOO_DEEP
    """
    depth = 0

    def start(_name: str, _attributes: list[str]) -> None:
        nonlocal depth
        depth += 1
        if depth > max_depth:
            raise Refused(Refusal.TOO_DEEP)

    def end(_name: str) -> None:
        nonlocal depth
        depth -= 1

    parser = _parser()
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    _run(parser, document)


def parse(document: bytes, max_depth: int) -> dict[str, Any]:
    """The children of the root element.

    :returns: name -> text, or a dict of children, or a list of those where a name repeats. A root with text only
        gives an empty dict; attributes are dropped (WeCom uses none).
    :raises Refused: NOT_XML, FORBIDDEN_XML or TOO_DEEP
    """
    stack: list[dict[str, Any]] = []
    text: list[str] = []
    root: dict[str, Any] = {}

    def start(_name: str, _attributes: list[str]) -> None:
        if len(stack) >= max_depth:
            raise Refused(Refusal.TOO_DEEP)
        stack.append({})
        text.clear()

    def end(name: str) -> None:
        children = stack.pop()
        value: Any = children or "".join(text)
        text.clear()
        if stack:
            _put(stack[-1], name, value)
        else:
            root.update(children)

    parser = _parser()
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text.append
    _run(parser, document)
    return root


def listed(value: Any) -> list[str]:
    """The texts of a list element in every shape that was seen: ``Item`` once or often, or a comma list.

    ``listed(fields.get("MemChangeList"))`` is always a list (wecom-api.md section 11).
    """
    if isinstance(value, dict):
        return [text for child in value.values() for text in listed(child)]
    if isinstance(value, list):
        return [text for child in value for text in listed(child)]
    return [part for part in (piece.strip() for piece in (value or "").split(",")) if part]


def _put(parent: dict[str, Any], name: str, value: Any) -> None:
    if name not in parent:
        parent[name] = value
    elif isinstance(parent[name], list):
        parent[name].append(value)
    else:
        parent[name] = [parent[name], value]


def _forbidden(*_arguments: object) -> NoReturn:
    raise Refused(Refusal.FORBIDDEN_XML)


def _parser() -> expat.XMLParserType:
    """A parser for UTF-8 alone that refuses everything WeCom never sends."""
    parser = expat.ParserCreate("utf-8")
    parser.StartDoctypeDeclHandler = _forbidden
    parser.EntityDeclHandler = _forbidden
    parser.ProcessingInstructionHandler = _forbidden
    return parser


def _run(parser: expat.XMLParserType, document: bytes) -> None:
    try:
        parser.Parse(document, True)
    except expat.ExpatError:
        raise Refused(Refusal.NOT_XML) from None
