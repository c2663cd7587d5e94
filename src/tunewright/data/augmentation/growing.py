"""From rows of train to children that passed the gates: so many a row and operator, or as many as each label needs.

With `quotas`, operators take turns over a label's rows in keyed order, copy after copy, until the label has its number or
`ROUNDS` copies of each were tried. What is asked for depends on the rows as a set and the seed, so order changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tunewright.core.records import Source
from tunewright.core.seeds import key
from tunewright.data.augmentation.gates import Gate, Ground
from tunewright.data.augmentation.protocol import Ask, Child, Operator
from tunewright.data.journal import Draft

ROUNDS = 8
LEAST = 16
"""Children asked for at once, where a quota lacks fewer: the gates are asked less often."""


@dataclass(frozen=True)
class Rejected:
    """A child that a gate did not let through."""

    child: Child
    code: str
    detail: str


@dataclass
class Yield:
    """What came of one operator: how often it was asked, found nothing to change, was rejected by gate, and was kept."""

    asked: int = 0
    unchanged: int = 0
    kept: int = 0
    rejected: Counter[str] = field(default_factory=Counter)

    def as_json(self) -> dict[str, Any]:
        """The counts as plain values."""
        rejected = dict(sorted(self.rejected.items()))
        return {"asked": self.asked, "unchanged": self.unchanged, "rejected": rejected, "kept": self.kept}


@dataclass
class Grown:
    """The children that are kept, those that are not, and each operator's yield."""

    kept: list[Child] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    yields: dict[str, Yield] = field(default_factory=dict)


def named(operators: Sequence[Operator], names: Sequence[str]) -> dict[str, Operator]:
    """Operators by name; the second of one name is `name-2`."""
    seen: Counter[str] = Counter()
    found = {}
    for operator, name in zip(operators, names, strict=True):
        seen[name] += 1
        found[name if seen[name] == 1 else f"{name}-{seen[name]}"] = operator
    return found


def grow(
    operators: Mapping[str, Operator], gates: Sequence[Gate], ground: Ground, *, copies: int,
    quotas: Mapping[str, int] | None = None,
) -> Grown:  # fmt: skip
    """Children of the rows of train.

    Args:
        operators: who makes them, by name.
        gates: what each must pass, in this order.
        ground: what the gates compare with, and what operators work with.
        copies: asked for of each row and operator, where there are no quotas.
        quotas: how many children each label is to get.
    """
    grown = Grown(yields={name: Yield() for name in operators})
    ground = replace(ground, made=set())
    if quotas is None:
        rows = sorted(ground.kit.train, key=lambda row: row.id)
        for name in operators:
            asks = [Ask(row.label or "", copy, row) for row in rows for copy in range(copies)]
            _pass({name: asks}, operators, gates, ground, grown)
        return grown
    for label, wanted in sorted(quotas.items()):
        _fill(label, wanted, operators, gates, ground, grown)
    return grown


def _fill(
    label: str, wanted: int, operators: Mapping[str, Operator], gates: Sequence[Gate], ground: Ground, grown: Grown
) -> None:
    """Ask for children of one label until it has as many as are wanted."""
    waiting = iter(_turns(label, wanted, operators, ground))
    left = wanted
    while left > 0:
        asks: dict[str, list[Ask]] = {}
        for _, (name, ask) in zip(range(max(left, LEAST)), waiting, strict=False):
            asks.setdefault(name, []).append(ask)
        if not asks:
            return
        before = len(grown.kept)
        _pass(asks, operators, gates, ground, grown)
        for over in grown.kept[before + left :]:
            grown.yields[over.operator].kept -= 1
            grown.yields[over.operator].asked -= 1
        del grown.kept[before + left :]
        left -= len(grown.kept) - before


def _turns(label: str, wanted: int, operators: Mapping[str, Operator], ground: Ground) -> Iterable[tuple[str, Ask]]:
    """Who is asked for a child of which row, in turn."""
    rows, seed = ground.kit.by_label.get(label, []), ground.kit.seed
    if not rows:
        writers = [name for name, operator in operators.items() if operator.kind == "new"]
        yield from ((name, Ask(label, copy)) for copy in range(2 * wanted) for name in writers)
        return
    for copy in range(ROUNDS):
        order = sorted(rows, key=lambda row: key(seed, "quota", label, copy, row.id))
        names = list(operators)
        for turn in range(len(names)):
            for n, row in enumerate(order):
                yield names[(n + turn) % len(names)], Ask(label, copy, row)


def _pass(
    asks: Mapping[str, Sequence[Ask]], operators: Mapping[str, Operator], gates: Sequence[Gate], ground: Ground,
    grown: Grown,
) -> None:  # fmt: skip
    """Have children made and let them through the gates."""
    children: list[Child] = []
    for name, wanted in asks.items():
        made = operators[name](wanted, ground.kit, name)
        grown.yields[name].asked += len(wanted)
        grown.yields[name].unchanged += sum(child is None for child in made)
        children += [child for child in made if child is not None]
    for gate in gates:
        verdicts = gate(children, ground)
        for child, detail in zip(children, verdicts, strict=True):
            if detail:
                grown.rejected.append(Rejected(child, gate.code, detail))
                grown.yields[child.operator].rejected[gate.code] += 1
        children = [child for child, detail in zip(children, verdicts, strict=True) if not detail]
    for child in children:
        grown.yields[child.operator].kept += 1
        ground.made.add(child.key)
    grown.kept += children


def draft_of(child: Child, weight: float) -> Draft:
    """A child as a row of train: its parent's label, soft labels, group and cluster, and where it comes from."""
    row = child.ask.row
    source = Source(f"generated for {child.ask.label}", child.ask.copy + 1) if row is None else row.source
    return Draft(
        child.text, child.ask.label, child.pair, source, "train", child.key, child.id,
        flags=("augmented", child.operator), parents=child.parents, soft=() if row is None else row.soft,
        weight=weight * (1.0 if row is None else row.weight),
        cluster=None if row is None else row.cluster or row.id, group=None if row is None else row.group,
    )  # fmt: skip
