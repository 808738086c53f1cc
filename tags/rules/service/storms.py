"""Storm guard: a rule that would touch more of the base than expected runs only when somebody saw the numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import orjson

from scrm.kernel.errors import Conflict, InvalidInput
from scrm.kernel.permissions import Scope
from scrm.kernel.settings import settings
from tags.rules.queries.impact import Impact, impact
from tags.rules.queries.turning import turned
from tags.rules.service.bounds import FAULTS, TooSlow, bounded, told
from tags.rules.service.texts import RuleText


def refuse_storm(rule: RuleText, confirm: str | None) -> None:
    """Refuse what would change more than ``[rules] storm_share`` of all customers, and at least ``storm_min`` of them.

    :param confirm: the token of such a refusal, which says yes to this text of the rule
    :raises Conflict: with the numbers and the token; the count itself taking too long asks as well
    :raises InvalidInput: the condition cannot be evaluated with the data there is
    """
    _refuse(rule, confirm, lambda: impact(Scope.all(), rule))


def refuse_storm_of_order(rule: RuleText, before: int, after: int, confirm: str | None) -> None:
    """The same of another priority, which turns round who has which tag of an exclusive group.

    :param confirm: the token is that of the rule's text too: one answer says yes to both
    """
    _refuse(rule, confirm, lambda: turned(rule.id, before, after))


def _refuse(rule: RuleText, confirm: str | None, count: Callable[[], Impact]) -> None:
    limits, token = settings().rules, confirmation(rule)
    if confirm == token:
        return
    try:
        with bounded(limits.preview_seconds):
            touched = count()
    except TooSlow:
        raise Conflict(
            f"how many customers this would touch could not be counted within {limits.preview_seconds:g} seconds; "
            f"to go on, send confirm: {token}",
            fields={"confirm": token},
            code="rule-storm",
        ) from None
    except FAULTS as error:
        raise InvalidInput.field("condition", f"cannot be evaluated: {told(error, 0)}") from None
    if touched.customers >= limits.storm_min and touched.share > limits.storm_share:
        raise _storm(touched, token)


def _storm(touched: Impact, token: str) -> Conflict:
    return Conflict(
        f"this would change {touched.customers} of {touched.base} customers ({touched.share:.0%}; more than "
        f"{settings().rules.storm_share:.0%} has to be confirmed): {touched.added} tags would come, {touched.removed} go, "
        f"and WeCom be called {touched.calls} times; to go on, send confirm: {token}",
        fields={
            "confirm": token,
            "customers": str(touched.customers),
            "base": str(touched.base),
            "added": str(touched.added),
            "removed": str(touched.removed),
            "wecom_calls": str(touched.calls),
        },
        code="rule-storm",
    )


def confirmation(rule: RuleText) -> str:
    """What says yes to this condition with these tags, and to no other."""
    said = [rule.condition, sorted(rule.add_tag_ids), sorted(rule.remove_tag_ids), rule.keep]
    return hashlib.blake2s(orjson.dumps(said, option=orjson.OPT_SORT_KEYS), digest_size=8).hexdigest()
