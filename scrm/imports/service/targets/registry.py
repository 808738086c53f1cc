"""What can be imported: one file per target, each found here by its name."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from scrm.imports.service.converting import Kind
from scrm.kernel.batch import Batch
from scrm.kernel.errors import InvalidInput
from scrm.kernel.permissions import Actor, Permission

Values = dict[str, Any]
"""What one row says: converted values by field path; several columns of one identity make a list."""


@dataclass(frozen=True)
class TargetField:
    """Something that a column can become.

    :param path: its name in mappings, such as ``identity:phone``
    :param also: further headers by which it is recognised (small letters)
    :param labels: values by what people write instead of them
    :param many: several columns may be mapped to it
    """

    path: str
    kind: Kind
    zh: str
    en: str
    also: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    many: bool = False


@dataclass(frozen=True)
class Origin:
    """Where rows come from: what stands in for ids that a file does not have.

    :param file: digest of the file
    :param source: name of the source
    """

    file: str
    source: str


@dataclass
class Found:
    """What became of one record.

    :param status: ``new``, ``changed``, ``unchanged``
    :param subject: the record's own key, or the person's id
    :param changes: ``{"field", "before", "after"}`` each; ``stands`` is False where another source's value stays
    """

    status: str
    subject: int | str
    changes: list[dict[str, Any]] = field(default_factory=list)


Changes = Mapping[str, Sequence[tuple[Any, Any]]]
"""By table: rows before and after (None: was not there, is gone), as JSON objects."""


class Target(Protocol):
    """One thing that can be imported."""

    name: str
    zh: str
    en: str
    permission: Permission
    grouped: bool  # several rows in a row may be one record

    def fields(self, constants: Mapping[str, Any]) -> dict[str, TargetField]:
        """What columns can become, by path."""

    def hidden(self, actor: Actor) -> set[str]:
        """Paths of :meth:`fields` that an actor may not see, nor learn what stands there."""
        return set()

    def missing(self, paths: set[str], constants: Mapping[str, Any]) -> dict[str, str]:
        """What a mapping lacks, by path."""

    def key(self, values: Values) -> str | None:
        """What makes two rows the same record (or lines of one); None: cannot be told, or does not matter."""

    def document(self, rows: Sequence[Values], numbers: Sequence[int], origin: Origin) -> dict[str, Any]:
        """The record as the ``:batch`` endpoint takes it."""

    def make_room(self, batch: Batch) -> None:
        """Make what must be committed before the batch is stored; most targets need nothing."""
        return

    def store(self, batch: Batch, actor: Actor) -> None:
        """Write the batch through the service of the ``:batch`` endpoint, as the one who gave the file."""

    def check_said(self, said: Mapping[str, Sequence[Any]], actor: Actor) -> dict[str, str]:
        """What is wrong, by path, with values that a mapping itself says (constants, translations)."""
        return {}

    def found(self, batch: Batch, changes: Changes) -> list[Found | None]:
        """What became of each record of the batch; None for refused ones."""

    def base(self, source: str) -> int:
        """How many records there are already that an import could change."""


FILES = ("people", "orders", "products", "events", "audience")
_targets: dict[str, Target] = {}


def register(target: Target) -> Target:
    """Let a target be imported under its name."""
    _targets[target.name] = target
    return target


def _load() -> None:
    """Import the files of this folder once: each registers its target."""
    if not _targets:
        folder = __package__ or ""
        for name in FILES:
            importlib.import_module(f"{folder}.{name}")


def target_of(name: str) -> Target:
    """The target of a name; raises InvalidInput."""
    _load()
    if name not in _targets:
        raise InvalidInput.field("target", "must be one of " + ", ".join(sorted(_targets)))
    return _targets[name]


def targets() -> list[Target]:
    """All of them, by name."""
    _load()
    return [_targets[name] for name in sorted(_targets)]
