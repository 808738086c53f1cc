"""Files of the media library inside payloads: named by our number when planned, replaced by WeCom's id before the call.

``{"image": {"library_id": 12}}`` becomes ``{"image": {"media_id": "…"}}``. What is planned today and sent in a week
carries no id that died meanwhile (WeCom's live 3 days). The media package installs itself as the library.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from scrm.wecom.client import Client

Json = dict[str, Any]
DEAD_MEDIA = 40007  # unknown, expired or from another upload API
PART_OF_PICTURES = {  # part of a message -> (our key, WeCom's key, use)
    "link": ("pic_library_id", "picurl", "picture_url"),
    "miniprogram": ("pic_library_id", "pic_media_id", "image"),
}
DIRECT, DIRECT_TARGET = "library_id", "media_id"
THUMB, THUMB_TARGET = "thumb_library_id", "thumb_media_id"  # links and mini programs of customer service
PARTS = ("image", "voice", "video", "file")


@dataclass(frozen=True, order=True)
class Reference:
    """A file of the library in one use; ``use`` is a value of scrm.media.models.Use."""

    library_id: int
    use: str


class Library(Protocol):
    """What the media package does for the lanes."""

    def known(self, references: Sequence[Reference]) -> Mapping[Reference, str]:
        """Ids that are good for a while yet; one query, before the calls start."""

    def opener(self) -> Callable[[Client, Reference], str]:
        """A function for other threads that uploads a file now and gives WeCom's id; raises WecomError."""

    def forget(self, references: Sequence[Reference]) -> None:
        """WeCom does not know these ids any more."""


_installed: list[Library] = []


def install(library: Library) -> None:
    """Make ``library`` the one that lanes ask."""
    _installed[:] = [library]


def library() -> Library | None:
    """The installed library; None in a program without one."""
    return _installed[0] if _installed else None


def named_in(payload: Json) -> list[Reference]:
    """Every file a payload names, without repetition."""
    return list(dict.fromkeys(reference for _, _, reference in _places("", payload)))


def with_ids(payload: Json, ids: Mapping[Reference, str]) -> Json:
    """A copy of ``payload`` in which every named file is replaced by WeCom's id for it."""
    copied: Json = _copy(payload)
    for part, key, reference in list(_places("", copied)):
        part[_target(key, reference)] = ids[reference]
        del part[key]
    return copied


def _target(key: str, reference: Reference) -> str:
    if key == DIRECT:
        return DIRECT_TARGET
    if key == THUMB:
        return THUMB_TARGET
    return next(target for _, target, use in PART_OF_PICTURES.values() if use == reference.use)


def _places(name: str, value: Any) -> Iterator[tuple[Json, str, Reference]]:
    """(part, key in it, file named there) all through a payload."""
    if isinstance(value, list):
        for item in value:
            yield from _places(name, item)
    elif isinstance(value, dict):
        if name in PARTS and DIRECT in value:
            yield value, DIRECT, Reference(value[DIRECT], name)
        if THUMB in value:
            yield value, THUMB, Reference(value[THUMB], "image")
        if name in PART_OF_PICTURES and (key := PART_OF_PICTURES[name][0]) in value:
            yield value, key, Reference(value[key], PART_OF_PICTURES[name][2])
        for inner, item in value.items():
            yield from _places(inner, item)


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


class Resolver:
    """The files of one batch of payloads: looked up together, uploaded in the calls' threads where need be.

    Made in a thread with an app context; :meth:`fill` and :meth:`forget` may be called from any.
    """

    def __init__(self, payloads: Sequence[Json]) -> None:
        wanted = sorted({reference for payload in payloads for reference in named_in(payload)})
        self._library = library() if wanted else None
        self._ids = dict(self._library.known(wanted)) if self._library else {}
        self._obtain = self._library.opener() if self._library else None

    def fill(self, client: Client, payload: Json) -> Json:
        """``payload`` as WeCom takes it; raises WecomError when a file cannot be uploaded (the call never left)."""
        wanted = named_in(payload)
        if not wanted or self._obtain is None:
            return payload
        ids: dict[Reference, str] = {}  # its own: other threads forget what WeCom refuses to them
        for reference in wanted:
            known = self._ids.get(reference)
            ids[reference] = self._ids[reference] = known or self._obtain(client, reference)
        return with_ids(payload, ids)

    def forget(self, payload: Json) -> bool:
        """WeCom refused an id (40007): upload the payload's files anew next time; whether there are any."""
        wanted = named_in(payload)
        for reference in wanted:
            self._ids.pop(reference, None)
        if wanted and self._library:
            self._library.forget(wanted)
        return bool(wanted)
