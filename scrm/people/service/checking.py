"""Is a value right for its field? Gives it in the one form in which it is kept."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from functools import lru_cache
from typing import Any

from pydantic_core import SchemaError, SchemaValidator, ValidationError
from pydantic_core.core_schema import str_schema

from scrm.kernel.batch import number, whole
from scrm.kernel.clock import in_zone, utcnow
from scrm.kernel.errors import InvalidInput
from scrm.kernel.settings import settings
from scrm.kernel.storable import text_problem
from scrm.people.queries.fields import FieldSpec, FieldType
from scrm.people.service.identity import is_placeholder, normal_email, normal_phone

TEXT_CHARS = 500
ADDRESS_PARTS = ("country", "province", "city", "district", "street", "postcode")
TODAY = "today"
LONG_NUMBER = re.compile(r"(?<![0-9A-Za-z])(\d{15,19}|\d{17}[Xx])(?![0-9A-Za-z])")
WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)  # GB 11643-1999
CHECK_DIGITS = "10X98765432"


def checked(spec: FieldSpec, value: Any) -> Any:
    """The value of a field as it is kept; None stays None (the source says there is none).

    :raises ValueError: saying what would be right
    """
    if value is None:
        return None
    try:
        return CHECKS[spec.type](spec, value)
    except InvalidInput as problem:
        raise ValueError(next(iter(problem.fields.values()))) from None


def _text(spec: FieldSpec, value: Any) -> str:
    text = _plain(value, spec.limits.get("max_length", TEXT_CHARS))
    pattern = spec.limits.get("pattern")
    if pattern and not is_of_form(text, pattern):
        raise ValueError(f"must be of the form {pattern}")
    return text


def _plain(value: Any, most: int) -> str:
    if not isinstance(value, str) or not 1 <= len(value.strip()) <= most:
        raise ValueError(f"must be text of 1 to {most} characters")
    if problem := text_problem(value):
        raise ValueError(problem)
    text = value.strip()
    if sensitive := sensitive_number(text):
        raise ValueError(f"holds {sensitive}; such numbers are not kept here")
    return text


def is_of_form(text: str, pattern: str) -> bool:
    """Whether a whole text fits a company's own pattern, in time linear in its length whatever the pattern.

    Python's own engine goes back and tries again: ``(a+)+$`` would hold a process for ever.

    :raises ValueError: the pattern is none, or asks for what a linear engine cannot do (look-around, back-references)
    """
    try:
        _matcher(pattern).validate_python(text)
    except ValidationError:
        return False
    return True


@lru_cache(maxsize=100)
def _matcher(pattern: str) -> SchemaValidator:
    try:
        re.compile(pattern)  # alone, so that ``a)|(b`` is none although it would be one in brackets
        return SchemaValidator(str_schema(pattern=rf"\A(?:{pattern})\z", regex_engine="rust-regex"))
    except (re.error, SchemaError) as error:
        reason = str(error).rpartition("error: ")[2].splitlines()[0]
        raise ValueError(f"the pattern {pattern} cannot be worked with: {reason}") from None


def sensitive_number(text: str) -> str | None:
    """What kind of number a text gives away: of an identity card (GB 11643) or a bank card (Luhn); else None."""
    for found in LONG_NUMBER.findall(text):
        if len(found) == 18 and _is_identity_card(found):
            return "an identity card number 身份证号"
        if found.isdigit() and len(found) >= 16 and _luhn(found):
            return "a bank card number 银行卡号"
    return None


def _is_identity_card(text: str) -> bool:
    total = sum(int(digit) * weight for digit, weight in zip(text[:17], WEIGHTS, strict=True))
    return text[17].upper() == CHECK_DIGITS[total % 11] and text[6:8] in {"18", "19", "20"}


def _luhn(digits: str) -> bool:
    doubled = [int(d) * (2 if place % 2 else 1) for place, d in enumerate(reversed(digits))]
    return len(set(digits)) > 1 and sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


def _number(spec: FieldSpec, value: Any) -> int | float:
    found = number(value)
    least, most = spec.limits.get("min"), spec.limits.get("max")
    if (least is not None and found < least) or (most is not None and found > most):
        raise ValueError(f"must lie between {least} and {most}")
    return found


def _date(spec: FieldSpec, value: Any) -> str:
    try:
        found = date.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError("must be a day such as 1990-05-17") from None
    text = found.isoformat()
    least, most = (_day(spec.limits.get(name)) for name in ("min", "max"))
    if (least and text < least) or (most and text > most):
        raise ValueError(f"must lie between {least or 'ever'} and {most or 'ever'}")
    return text


def _day(limit: str | None) -> str | None:
    if limit == TODAY:
        return in_zone(utcnow(), settings().corp.zone).date().isoformat()
    return limit


def _choice(spec: FieldSpec, value: Any) -> str:
    known = [choice["value"] for choice in spec.choices]
    if value not in known:
        raise ValueError(f"must be one of {', '.join(known)}")
    return str(value)


def _choices(spec: FieldSpec, value: Any) -> list[str]:
    known = [choice["value"] for choice in spec.choices]
    if not isinstance(value, list) or any(one not in known for one in value):
        raise ValueError(f"must be a list out of {', '.join(known)}")
    return [one for one in known if one in value]


def _phone(spec: FieldSpec, value: Any) -> str:
    phone = normal_phone(_plain(value, 40), settings().people.region)
    if is_placeholder("phone", phone):
        raise ValueError("is a placeholder, no phone number")
    return phone


def _email(spec: FieldSpec, value: Any) -> str:
    return normal_email(_plain(value, 200))


def _address(spec: FieldSpec, value: Any) -> dict[str, str]:
    """Parts in a fixed order; a text is taken as the street."""
    given = {"street": value} if isinstance(value, str) else value
    if not isinstance(given, dict) or not given or given.keys() - set(ADDRESS_PARTS):
        raise ValueError(f"must be an object of {', '.join(ADDRESS_PARTS)}, or a text")
    found = {part: _plain(given[part], 200) for part in ADDRESS_PARTS if given.get(part) not in (None, "")}
    if not found:
        raise ValueError("must name at least one part")
    return found


def _file(spec: FieldSpec, value: Any) -> int:
    return whole(value, "must be the id of a file of the media library")


CHECKS: dict[FieldType, Callable[[FieldSpec, Any], Any]] = {
    FieldType.TEXT: _text,
    FieldType.NUMBER: _number,
    FieldType.DATE: _date,
    FieldType.CHOICE: _choice,
    FieldType.MULTI_CHOICE: _choices,
    FieldType.PHONE: _phone,
    FieldType.EMAIL: _email,
    FieldType.ADDRESS: _address,
    FieldType.FILE: _file,
}
