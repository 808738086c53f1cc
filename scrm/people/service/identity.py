"""Identities in one form: what is written in different ways and means the same becomes equal."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from fnmatch import translate
from functools import lru_cache
from typing import NamedTuple, Self

import phonenumbers
from marshmallow import ValidationError
from marshmallow.validate import Email

from scrm.kernel.errors import InvalidInput
from scrm.kernel.settings import settings
from scrm.kernel.storable import text_problem

MOST_CHARS = 200
OPENID = "openid:"
CHINESE_MOBILE = re.compile(r"(?:\+?86|0086)?(1[3-9]\d{9})")
NOTHING = {"-", "0", "n/a", "na", "nil", "none", "null", "undefined", "unknown", "test", "无", "未知"}
COUNTED = {"12345678901234567890"[:length] for length in range(4, 21)}  # somebody ran a finger over the keys


class IdentityKind(StrEnum):
    """What can identify a person, the surest first; ``openid:<appid>`` stands between member number and card."""

    EXTERNAL_USERID = "external_userid"
    UNIONID = "unionid"
    MEMBER_NO = "member_no"
    CARD = "card"
    PHONE = "phone"
    EMAIL = "email"


KINDS = frozenset(map(str, IdentityKind))
UNIQUE = frozenset({IdentityKind.UNIONID, IdentityKind.MEMBER_NO})
"""Kinds of which a person has one value: two different ones speak against one person."""
SHAREABLE = frozenset({IdentityKind.PHONE, IdentityKind.EMAIL, IdentityKind.CARD})
"""Kinds that families and shops share: a value that too many claim identifies nobody."""


class _Pair(NamedTuple):
    kind: str
    value: str


class Identity(_Pair):
    """One identifying value, normalised when it is made. A tuple: batches hash and compare thousands.

    :param kind: a kind of :class:`IdentityKind`, or ``openid:<appid>``
    :param value: phones become E.164 (``people.region`` without a country code), e-mail addresses small letters
        (standards let the part before the @ differ by case, but no large provider does), all others are trimmed
    :raises InvalidInput: an unknown kind, or a value that cannot be of this kind
    """

    __slots__ = ()

    def __new__(cls, kind: str, value: str) -> Self:
        """Check and normalise."""
        if not is_kind(kind):
            kinds = ", ".join(IdentityKind)
            raise InvalidInput.field("kind", f"must be one of {kinds}, openid:<appid>")
        return super().__new__(cls, kind, _normal(kind, str(value).strip()))

    @classmethod
    def stored(cls, kind: str, value: str) -> Self:
        """One read from the database, where it was written in its normal form."""
        return super().__new__(cls, kind, value)

    @property
    def identifies(self) -> bool:
        """Whether the value may identify anybody: no placeholder, no test number, nothing that is blocked by settings.

        Values that too many persons claimed are known to the database only (``resolve`` leaves them out too).
        """
        return bool(identifying([self]))


def identifying(keys: Iterable[Identity]) -> list[Identity]:
    """Those of ``keys`` that may identify anybody, in their order (:attr:`Identity.identifies`)."""
    blocked = _pattern(settings().people.blocked).match
    return [
        key
        for key in keys
        if key.kind == IdentityKind.EXTERNAL_USERID  # WeCom's own, nobody types it
        or not (is_placeholder(key.kind, key.value) or blocked(f"{key.kind}:{key.value}".casefold()))
    ]


def _normal(kind: str, value: str) -> str:
    if problem := text_problem(value):
        raise InvalidInput.field(kind, problem)
    if not 1 <= len(value) <= MOST_CHARS:
        raise InvalidInput.field(kind, f"must be 1 to {MOST_CHARS} characters")
    if kind == IdentityKind.PHONE:
        return normal_phone(value, settings().people.region)
    if kind == IdentityKind.EMAIL:
        return normal_email(value).lower()
    return value


@lru_cache(maxsize=8)
def _pattern(blocked: tuple[str, ...]) -> re.Pattern[str]:
    """One pattern for all blocked values: batches ask it for every row."""
    return re.compile("|".join(translate(one.casefold()) for one in blocked) or r"(?!)")


def is_kind(kind: str) -> bool:
    """Whether there are identities of this kind."""
    return kind in KINDS or (kind.startswith(OPENID) and len(kind) > len(OPENID))


def strength(kind: str) -> int:
    """Place of a kind, 0 the surest; where identities of a record disagree, the surest one decides."""
    order = [IdentityKind.EXTERNAL_USERID, IdentityKind.UNIONID, IdentityKind.MEMBER_NO, OPENID]
    order += [IdentityKind.CARD, IdentityKind.PHONE, IdentityKind.EMAIL]
    return order.index(OPENID if kind.startswith(OPENID) else kind)


@lru_cache(maxsize=4096)
def normal_phone(text: str, region: str) -> str:
    """E.164 of a phone number.

    :raises InvalidInput: no number that could exist
    """
    digits = re.sub(r"[\s\-()（）.]", "", text)
    mobile = CHINESE_MOBILE.fullmatch(digits)
    if mobile and (region == "CN" or not digits.startswith("1")):
        return f"+86{mobile.group(1)}"
    try:
        number = phonenumbers.parse(digits, region)
    except phonenumbers.NumberParseException:
        number = None
    if number is None or not phonenumbers.is_valid_number(number):
        raise InvalidInput.field(
            "phone", "is no phone number that could exist; give it with its country code"
        )
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def normal_email(text: str) -> str:
    """An e-mail address with its domain in small letters; raises InvalidInput for what is none.

    As a value of a field it keeps the case of what stands before the ``@``; an identity is small letters throughout.
    """
    try:
        Email()(text)
    except ValidationError:
        raise InvalidInput.field("email", "is no e-mail address") from None
    local, _, domain = text.rpartition("@")
    return f"{local}@{domain.lower()}"


def is_placeholder(kind: str, value: str) -> bool:
    """Whether people type this to get past a form: zeros, one digit repeated, "null", 1234567890."""
    if value.casefold() in NOTHING or value in COUNTED:
        return True
    if kind == IdentityKind.EMAIL:
        return False
    tail = value[-8:] if kind == IdentityKind.PHONE else value
    return len(tail) > 1 and tail.count(tail[0]) == len(tail)
