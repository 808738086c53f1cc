"""One language, one evaluator: a condition tree becomes one SQL predicate, and nothing else evaluates it.

Tag rules, broadcasts and whatever comes later use the same functions, so that preview, evaluation, backfill and
explanation cannot disagree (docs/conditions.md).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BinaryExpression, ColumnElement, ScalarSelect, Select, and_, not_, or_, select
from sqlalchemy import union as sql_union
from sqlalchemy.sql.operators import in_op, not_in_op

from scrm.customers.models import Customer
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import InvalidInput, NotFound
from tags.rules.leaves import Language, Names
from tags.rules.migration import current_tree
from tags.rules.references import CALLED, reference_names, references
from tags.rules.tree import Node, parse_tree

TIME = "time"
JOINTS: dict[Language, dict[str, str]] = {
    "zh": {"all": " 且 ", "any": " 或 ", "not": "不是"},
    "en": {"all": " and ", "any": " or ", "not": "not "},
}


HIDDEN_WORDS = {
    "zh": "（此密钥无权查看的条件）",
    "en": "(a condition that this key may not read)",
}


def validate_condition(tree: Mapping[str, Any], path: str = "condition") -> None:
    """Check structure, values, that every referenced row exists, and that what is compared fits its type.

    :raises InvalidInput: naming the place inside the tree, such as ``condition.all.1.within_days``
    """
    node = parse_tree(tree, path)
    known = reference_names(node)
    for (table_name, id_), where in references(node).items():
        if (table_name, id_) not in known:
            raise InvalidInput.field(where, f"there is no {CALLED[table_name].noun} with the id {id_}")
    for leaf, each in node.leaves():
        problems = leaf.check(each.args) if leaf.check else {}
        for argument, problem in problems.items():
            raise InvalidInput.field(f"{each.path}.{argument}", problem)


def compile_condition(
    tree: Mapping[str, Any], *, now: datetime | None = None, everybody: bool = False
) -> ColumnElement[bool]:
    """The tree as a predicate over :class:`Customer`: true or false, never NULL.

    :param now: the moment that conditions on time count from; the present by default
    :param everybody: the question is about all customers, not about a few: leaves that count things are worked out
        once as sets. The answer is the same
    :raises InvalidInput: when the tree is malformed
    """
    return _clause(parse_tree(tree), now or utcnow(), everybody)


@dataclass(frozen=True)
class CustomerIds:
    """Some customers, or everybody but them.

    :param ids: statement that gives their ids, some perhaps more than once
    :param in_order: PostgreSQL had better not hash what it groups (:class:`~tags.rules.leaves.Leaf`)
    """

    ids: Select[Any]
    but: bool = False
    in_order: bool = False


def customer_ids(tree: Mapping[str, Any], *, now: datetime | None = None) -> CustomerIds:
    """The customers for whom a tree holds, for whoever wants them and no predicate.

    A leaf is asked about its own rows alone, without a look at ``customers``: of a million that is half of the time.

    :raises InvalidInput: when the tree is malformed
    """
    node = parse_tree(tree)
    clause = _clause(node, now or utcnow(), everybody=True)
    if isinstance(clause, BinaryExpression) and clause.operator in (in_op, not_in_op):
        chosen = clause.right.element if isinstance(clause.right, ScalarSelect) else None
        if isinstance(chosen, Select) and clause.left.compare(Customer.__table__.c.id):
            in_order = node.leaf is not None and node.leaf.in_order
            return CustomerIds(chosen, clause.operator is not_in_op, in_order)
    return CustomerIds(select(Customer.id).where(clause))


def condition_reads(tree: Mapping[str, Any]) -> list[str]:
    """The facts whose change can change the answer, sorted; ``time`` among them when the clock alone can."""
    now = utcnow()
    facts = {fact for leaf, node in parse_tree(tree).leaves() for fact in leaf.reads(node.args)}
    return sorted(facts | ({TIME} if condition_expires(tree, now, now) is not None else set()))


def condition_expires(tree: Mapping[str, Any], since: datetime, until: datetime) -> Select[Any] | None:
    """Ids of the customers whose answer may have changed between two moments by time alone; None: time plays no part."""
    found = [
        statement
        for leaf, node in parse_tree(tree).leaves()
        if leaf.expires and (statement := leaf.expires(node.args, since, until)) is not None
    ]
    if not found:
        return None
    together = sql_union(*found).subquery("expired")
    return select(together.c[0].label("customer_id"))


def versioned(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A valid tree as it is kept: in the words of the present version of the language, and with that version."""
    return current_tree(tree)


def explain(
    tree: Mapping[str, Any], customer_id: int, language: Language = "zh", hidden: Collection[str] = ()
) -> dict[str, Any]:
    """Every node of the tree with its words and whether it holds for one customer, from one statement.

    :param hidden: paths of leaves of which neither the words nor the answers are told, nor those of the branches above
        them, the whole tree apart
    :returns: ``{"words", "holds", "path", "kind"?, "all" | "any" | "not"?}``, nested as the tree is
    :raises NotFound: when there is no such customer
    """
    node = parse_tree(tree)
    now = utcnow()
    nodes = list(node.walk())
    columns = [_clause(each, now).label(f"n{i}") for i, each in enumerate(nodes)]
    row = (
        session()
        .execute(select(*columns).select_from(Customer).where(Customer.id == customer_id))
        .one_or_none()
    )
    if row is None:
        raise NotFound(f"there is no customer {customer_id}")
    truth = {each.path: bool(value) for each, value in zip(nodes, row, strict=True)}
    told = _explained(node, truth, _Sentence(language, reference_names(node), hidden))
    return {**told, "holds": truth[node.path]}


def words(tree: Mapping[str, Any], language: Language = "zh", hidden: Collection[str] = ()) -> str:
    """The condition as people say it, with the names of tags, staff, groups and channel codes.

    :param hidden: paths of leaves that are not told
    """
    node = parse_tree(tree)
    return _words(node, _Sentence(language, reference_names(node), hidden))


def sentence(node: Node, names: Names, hidden: Collection[str] = ()) -> dict[str, str]:
    """A condition in both languages; see :func:`words`.

    :param names: those of its :func:`tags.rules.references.reference_names`, and of others perhaps
    """
    return {language: _words(node, _Sentence(language, names, hidden)) for language in JOINTS}


def leaf_words(node: Node, hidden: Collection[str] = ()) -> dict[str, dict[str, str]]:
    """Every leaf of a condition in both languages, by path; see :func:`words`."""
    names = reference_names(node)
    zh, en = (_Sentence(language, names, hidden) for language in JOINTS)
    return {each.path: {"zh": _words(each, zh), "en": _words(each, en)} for _, each in node.leaves()}


@dataclass(frozen=True)
class _Sentence:
    language: Language
    names: Names
    hidden: Collection[str]


def _clause(node: Node, now: datetime, everybody: bool = False) -> ColumnElement[bool]:
    if node.leaf is not None:
        whole = node.leaf.over_all if everybody else None
        return (whole or node.leaf.clause)(node.args, now)
    below = [_clause(child, now, everybody) for child in node.children]
    if node.op == "not":
        return not_(below[0])
    return and_(*below).self_group() if node.op == "all" else or_(*below).self_group()


def _words(node: Node, told: _Sentence) -> str:
    language = told.language
    if node.path in told.hidden:
        return HIDDEN_WORDS[language]
    if node.leaf is not None:
        return node.leaf.words(node.args, language, told.names)
    below = [_words(child, told) for child in node.children]
    joint = JOINTS[language][node.op]
    if node.op == "not":
        return f"{joint}（{below[0]}）" if language == "zh" else f"{joint}({below[0]})"
    if len(below) == 1:
        return below[0]
    return f"（{joint.join(below)}）" if language == "zh" else f"({joint.join(below)})"


def _explained(node: Node, truth: Mapping[str, bool], said: _Sentence) -> dict[str, Any]:
    holds = None if any(each.path in said.hidden for each in node.walk()) else truth[node.path]
    told: dict[str, Any] = {"path": node.path, "words": _words(node, said), "holds": holds}
    if node.leaf is not None:
        return {**told, "kind": node.leaf.kind}
    below = [_explained(child, truth, said) for child in node.children]
    return {**told, node.op: below[0] if node.op == "not" else below}
