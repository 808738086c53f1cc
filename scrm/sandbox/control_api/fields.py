"""Reading the JSON of control calls: anything unexpected is a 400 with one sentence."""

from __future__ import annotations

from typing import Any

from flask import request

from scrm.sandbox.errors import ControlError

Json = dict[str, Any]
REQUIRED = object()


class Body:
    """A JSON object whose fields are taken one by one; `done` refuses what was not asked for."""

    def __init__(self, raw: Any) -> None:
        """ControlError unless `raw` is an object."""
        if not isinstance(raw, dict):
            raise ControlError("the body must be a JSON object")
        self._raw: Json = dict(raw)

    @classmethod
    def of_request(cls) -> Body:
        """The current request's body; an empty one counts as {}."""
        if not request.get_data():
            return cls({})
        return cls(request.get_json(force=True, silent=True))

    def string(self, name: str, default: Any = REQUIRED) -> Any:
        """A non-empty string, or `default`."""
        value = self._take(name, default)
        if value is not default and (not isinstance(value, str) or not value):
            raise ControlError(f"{name} must be a non-empty string")
        return value

    def text(self, name: str, default: Any = REQUIRED) -> Any:
        """A string that may be empty, or `default`."""
        value = self._take(name, default)
        if value is not default and not isinstance(value, str):
            raise ControlError(f"{name} must be a string")
        return value

    def whole(self, name: str, default: Any = REQUIRED, least: int = 0) -> Any:
        """A whole number from `least` up, or `default`."""
        value = self._take(name, default)
        if value is not default and (not isinstance(value, int) or isinstance(value, bool) or value < least):
            raise ControlError(f"{name} must be a whole number, at least {least}")
        return value

    def errcode(self, name: str, default: int) -> int:
        """A whole number that may be negative, as -1 is an errcode."""
        value = self._take(name, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise ControlError(f"{name} must be a whole number")
        return value

    def number(self, name: str, default: Any = REQUIRED) -> Any:
        """A number from 0 up, or `default`."""
        value = self._take(name, default)
        if value is not default and (
            not isinstance(value, (int, float)) or isinstance(value, bool) or value < 0
        ):
            raise ControlError(f"{name} must be a number, at least 0")
        return value

    def signed(self, name: str, default: Any = REQUIRED) -> Any:
        """A number that may be negative, or `default`."""
        value = self._take(name, default)
        if value is not default and (not isinstance(value, (int, float)) or isinstance(value, bool)):
            raise ControlError(f"{name} must be a number")
        return value

    def flag(self, name: str, default: bool) -> bool:
        """true or false."""
        value = self._take(name, default)
        if not isinstance(value, bool):
            raise ControlError(f"{name} must be true or false")
        return value

    def strings(self, name: str, default: Any = REQUIRED) -> Any:
        """A list of strings, or `default`."""
        value = self._take(name, default)
        if value is not default and (
            not isinstance(value, list) or not all(isinstance(item, str) for item in value)
        ):
            raise ControlError(f"{name} must be a list of strings")
        return value

    def wholes(self, name: str) -> list[int]:
        """A list of whole numbers."""
        value = self._take(name, REQUIRED)
        if not isinstance(value, list) or not all(isinstance(item, int) for item in value):
            raise ControlError(f"{name} must be a list of whole numbers")
        return value

    def record(self, name: str, default: Any = REQUIRED) -> Any:
        """An object, or `default`."""
        value = self._take(name, default)
        if value is not default and not isinstance(value, dict):
            raise ControlError(f"{name} must be an object")
        return value

    def choice(self, name: str, allowed: tuple[str, ...], default: Any = REQUIRED) -> Any:
        """One of `allowed`, or `default`."""
        value = self._take(name, default)
        if value is not default and value not in allowed:
            raise ControlError(f"{name} must be one of {', '.join(allowed)}")
        return value

    def has(self, name: str) -> bool:
        """Whether the field was given."""
        return name in self._raw

    def done(self) -> None:
        """ControlError naming the first field nobody asked for."""
        for name in self._raw:
            raise ControlError(f"unknown field {name!r}")

    def _take(self, name: str, default: Any) -> Any:
        if name not in self._raw:
            if default is REQUIRED:
                raise ControlError(f"{name} is missing")
            return default
        value = self._raw.pop(name)
        return default if value is None and default is None else value
