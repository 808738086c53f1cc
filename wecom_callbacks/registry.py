"""Who handles which callback: ``@handles(event, change_type)`` on a function that takes a whole batch.

A handler module lives in ``wecom_callbacks/handlers/`` (one file per event family), parses and makes one service
call per batch. It must survive duplicates, any order and gaps. It may return the rows it ignored, each with the
reason; all others are done.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from wecom_callbacks import handlers
from wecom_callbacks.reasons import Ignored

Batch = list["Callback"]
Reasons = Mapping[int, Ignored]
Handler = Callable[[Batch], Reasons | None]
Key = tuple[str, str | None]

_handlers: dict[Key, Handler] = {}


@dataclass(frozen=True)
class Callback:
    """One stored callback, parsed.

    :param row_id: its row in ``callback_inbox``
    :param app: name of the WeCom app it came to
    :param event: ``Event`` of an event, otherwise ``message.<MsgType>`` (``message.text``)
    :param event_at: ``CreateTime``; the time of receipt when WeCom gave none
    :param fields: the body: text, dict of children, or a list where an element repeats (``xml.listed`` evens that out)
    :param replayed: handled again by hand: side effects whose moment has passed are skipped
    """

    row_id: int
    app: str
    event: str
    change_type: str | None
    event_at: datetime
    fields: dict[str, Any]
    replayed: bool


def handles(event: str, change_type: str | None = None) -> Callable[[Handler], Handler]:
    """Give callbacks of this kind to the function; without ``change_type``, all kinds of ``event`` nobody else takes.

    :raises ValueError: when another function already takes them
    """

    def register(func: Handler) -> Handler:
        known = _handlers.get((event, change_type))
        if known is not None and known is not func:
            raise ValueError(
                f"{event}/{change_type} is already handled by {known.__module__}.{known.__name__}"
            )
        _handlers[event, change_type] = func
        return func

    return register


def handler_for(event: str, change_type: str | None) -> Handler | None:
    """Who takes this kind; None when nobody does."""
    return _handlers.get((event, change_type)) or _handlers.get((event, None))


def named(batch: Batch, *names: str) -> tuple[Batch, dict[int, Ignored]]:
    """The callbacks that carry text in all these fields; the others say nothing that can be recorded."""
    kept = [one for one in batch if all(text(one.fields.get(name)) for name in names)]
    return kept, ignoring(batch, kept, Ignored.INCOMPLETE)


def ignoring(batch: Batch, kept: Batch, reason: Ignored) -> dict[int, Ignored]:
    """The rows of ``batch`` that are not among ``kept``, each with the reason."""
    known = {one.row_id for one in kept}
    return {one.row_id: reason for one in batch if one.row_id not in known}


def text(value: Any) -> str | None:
    """A field's text; None when it is missing, empty or has children."""
    return value if isinstance(value, str) and value else None


def registered() -> dict[Key, Handler]:
    """Everything that is handled; for documentation and tests."""
    return dict(_handlers)


def load_handlers() -> list[str]:
    """Import every module of ``wecom_callbacks/handlers/``, so that its functions are registered; returns the names."""
    names = sorted(f"{handlers.__name__}.{found.name}" for found in pkgutil.iter_modules(handlers.__path__))
    for name in names:
        importlib.import_module(name)
    return names
