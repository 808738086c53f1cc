"""What the demo found: checks, figures, and how they are shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable
from dataclasses import asdict, dataclass, field

from scrm.cli.story.api import Json

EXAMPLES = 3


@dataclass(frozen=True)
class Check:
    """Something that must be so.

    :param what: in words
    :param expected: how many
    :param seen: how many there are
    :param wrong: examples of what is missing, too much or different
    """

    what: str
    expected: int
    seen: int
    wrong: list[str] = field(default_factory=list)

    @property
    def well(self) -> bool:
        """Whether it is so."""
        return self.expected == self.seen and not self.wrong


def exactly_once(what: str, expected: Collection[Hashable], seen: Counter[Hashable]) -> Check:
    """Each of ``expected`` was seen once, and nothing else."""
    wrong = [
        f"{item}: {seen[item]} times"
        for item in {*expected, *seen}
        if (item in expected) != (seen[item] == 1)
    ]
    return Check(what, len(expected), seen.total(), wrong[:EXAMPLES])


def the_same(what: str, truth: Collection[Hashable], ours: Collection[Hashable]) -> Check:
    """Our set is WeCom's set."""
    truth, ours = set(truth), set(ours)
    wrong = [f"only WeCom: {item}" for item in truth - ours] + [f"only we: {item}" for item in ours - truth]
    return Check(what, len(truth), len(ours), wrong[:EXAMPLES])


@dataclass(frozen=True)
class Outcome:
    """The whole demo.

    :param figures: what happened, by name
    :param slowest_welcome: seconds from the add to WeCom's acceptance
    """

    checks: list[Check]
    figures: dict[str, int | float]
    seconds: float

    @property
    def well(self) -> bool:
        """Whether every check is right."""
        return all(check.well for check in self.checks)

    def as_json(self) -> Json:
        """For programs."""
        checks = [{**asdict(check), "well": check.well} for check in self.checks]
        return {
            "well": self.well,
            "seconds": round(self.seconds, 1),
            "figures": self.figures,
            "checks": checks,
        }


def show(outcome: Outcome, as_json: bool) -> None:
    """Print the outcome."""
    from rich.text import Text

    from scrm.cli.console import print_json, print_table

    if as_json:
        print_json(outcome.as_json())
        return
    print_table("what happened", ("", "number"), outcome.figures.items())
    signs = {True: Text("right", "green"), False: Text("WRONG", "bold red")}
    rows = [
        (signs[check.well], check.what, check.expected, check.seen, "; ".join(check.wrong))
        for check in outcome.checks
    ]
    title = f"compared with what the simulated WeCom received ({outcome.seconds:.0f} s)"
    print_table(title, ("", "check", "expected", "seen", "wrong"), rows)
