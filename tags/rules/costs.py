"""What a condition costs PostgreSQL: which leaf to blame when a question about everybody takes too long."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.base import Executable
from sqlalchemy.sql.elements import ClauseElement

from scrm.customers.models import Customer
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import ScrmError
from scrm.kernel.permissions import Actor
from tags.rules.compiler import leaf_words
from tags.rules.leaves import Args, Leaf
from tags.rules.queries.veiling import Reader
from tags.rules.tree import Node, parse_tree

ANYBODY = Actor("anybody", frozenset())


class ConditionTooSlow(ScrmError):  # noqa: N818  # reads as a statement where it is raised
    """PostgreSQL was stopped before it had the answer."""

    status = 504
    code = "condition-too-slow"


class Explained(Executable, ClauseElement):
    """``EXPLAIN`` of a statement, as JSON."""

    inherit_cache = False

    def __init__(self, statement: Select[Any]) -> None:
        self.statement = statement


@compiles(Explained)
def _explained(element: Explained, compiler: Any, **kwargs: Any) -> str:
    told: str = compiler.process(element.statement, **kwargs)
    return f"EXPLAIN (FORMAT JSON) {told}"


def plan_of(statement: Select[Any]) -> dict[str, Any]:
    """PostgreSQL's plan of a statement, without running it."""
    told: list[dict[str, Any]] = session().execute(Explained(statement)).scalar_one()
    plan: dict[str, Any] = told[0]["Plan"]
    return plan


def leaf_question(leaf: Leaf, args: Args, everybody: bool = True) -> Select[Any]:
    """How many customers one leaf holds for, asked as it is asked about everybody; or whether it holds for one."""
    now = utcnow()
    if not everybody:
        return select(leaf.clause(args, now)).select_from(Customer).where(Customer.id == 1)
    return select(func.count()).select_from(Customer).where((leaf.over_all or leaf.clause)(args, now))


def too_slow(tree: Mapping[str, Any], seconds: float, everybody: bool = True) -> ConditionTooSlow:
    """The answer to a question that was stopped after so long, naming the leaf that PostgreSQL expects to cost most.

    Sets are asked for without knowing who reads the answer: words of a leaf that not everybody may ask are left out.

    :param everybody: it was about all customers, not about one
    """
    node = parse_tree(tree)
    costs = [
        (plan_of(leaf_question(leaf, each.args, everybody))["Total Cost"], each)
        for leaf, each in node.leaves()
    ]
    _, dearest = max(costs, key=lambda told: float(told[0]))
    return ConditionTooSlow(
        f"the question took longer than {seconds:g} seconds and was stopped; nothing was changed. What costs most is "
        f"{dearest.path}{_said(node, dearest.path)}. Ask for a shorter window, put conditions on fields or tags beside "
        "it, or ask again when the database has less to do",
        fields={dearest.path: "costs most of the time"},
    )


def _said(node: Node, path: str) -> str:
    if path in Reader(ANYBODY).hidden(node):
        return ""
    return ": " + " / ".join(leaf_words(node)[path].values())
