"""What an operator of augmentation is: rows of train to new rows, keyed by (seed, operator, row id, copy number).

An operator is asked for children and gives one for each ask, or None where it finds nothing to change. What it makes
depends on the asked row, the number of the copy, the seed and the other rows of train as a set: never on order.

| kind | what a child is | what the gates may hold it to |
|---|---|---|
| edit | the parent with a few words changed | every protected token as it was |
| rewrite | the parent said anew by a language model | names and numbers as they were, denied or not as before |
| new | a text of its own for a label | other rows alone |
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal, Protocol

from tunewright.core.records import content_id
from tunewright.core.seeds import key, uniform
from tunewright.data.augmentation.words import Guard
from tunewright.data.journal import Draft, composed, folded

Kind = Literal["edit", "rewrite", "new"]
Need = Literal["encode", "write", "perplexity"]


@dataclass(frozen=True, slots=True)
class Draw:
    """Random numbers of one ask: each depends on the ask and its purpose alone."""

    seed: int
    operator: str
    row: str
    copy: int

    def uniform(self, *purpose: int | str) -> float:
        """A number in [0, 1)."""
        return uniform(self.seed, "augment", self.operator, self.row, self.copy, *purpose)

    def below(self, n: int, *purpose: int | str) -> int:
        """A whole number from 0 to n - 1."""
        return min(int(self.uniform(*purpose) * n), n - 1)

    def ranked(self, n: int, *purpose: int | str) -> list[int]:
        """0 to n - 1 in random order."""
        return sorted(range(n), key=lambda i: key(self.seed, self.operator, self.row, self.copy, *purpose, i))


@dataclass(frozen=True, slots=True)
class Ask:
    """One child that is wanted: of a row, or for a label alone where `row` is None. `copy` counts from 0."""

    label: str
    copy: int
    row: Draft | None = None

    @property
    def name(self) -> str:
        """What the ask is keyed by beside the seed, the operator and the copy."""
        return f"label {self.label}" if self.row is None else self.row.id


@dataclass(frozen=True, slots=True)
class Child:
    """A new row on its way through the gates. `shown` are rows that it was made in view of, beside its parent."""

    ask: Ask
    operator: str
    kind: Kind
    text: str
    pair: str | None = None
    shown: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The hash of its folded content, as drafts have it."""
        return content_id(folded(self.text), None if self.pair is None else folded(self.pair))

    @property
    def id(self) -> str:
        """The hash of its canonical content, as drafts have it."""
        return content_id(composed(self.text), None if self.pair is None else composed(self.pair))

    @property
    def parents(self) -> tuple[str, ...]:
        """The rows that it comes from."""
        own = () if self.ask.row is None else (self.ask.row.id,)
        return (*own, *(name for name in self.shown if name not in own))


@dataclass(frozen=True)
class Kit:
    """What operators work with: the seed, what is protected, the rows of train, a language model where one is named.

    `unlabelled` rows show the style of a domain; nothing is made of them.
    """

    seed: int
    guard: Guard = Guard()
    base: Path = Path()
    train: Sequence[Draft] = ()
    write: Callable[[Sequence[str]], list[str]] | None = None
    unlabelled: Sequence[Draft] = ()

    @cached_property
    def vocabulary(self) -> tuple[str, ...]:
        """The words that stand unprotected in at least two rows, sorted.

        Of all labels together: words of one label alone would tell a trial on left-out rows what their labels are.
        """
        seen: Counter[str] = Counter()
        for row in self.train:
            seen.update(
                {t.text.casefold() for t in self.guard.tokens(row.text) if t.kind in ("word", "han") and t.free}
            )
        return tuple(sorted(word for word, n in seen.items() if n > 1))

    @cached_property
    def by_label(self) -> dict[str, list[Draft]]:
        """Rows of each label, by their id."""
        found: dict[str, list[Draft]] = {}
        for row in sorted(self.train, key=lambda row: row.id):
            found.setdefault(row.label or "", []).append(row)
        return found


class Operator(Protocol):
    """Makes children. `needs` are the models that the recipe must name for it."""

    kind: ClassVar[Kind]
    needs: ClassVar[tuple[Need, ...]]

    def __call__(self, asks: Sequence[Ask], kit: Kit, name: str) -> list[Child | None]:
        """As many as there are asks, in their order; `name` is what the operator is called among those of the step."""
        ...


class Edits:
    """Base of operators that change one text at a time; of a row with two texts one is changed, chosen by key."""

    kind: ClassVar[Kind] = "edit"
    needs: ClassVar[tuple[Need, ...]] = ()

    def edit(self, text: str, draw: Draw, kit: Kit, label: str) -> str | None:
        """The text with something changed; None where nothing can be."""
        raise NotImplementedError

    def __call__(self, asks: Sequence[Ask], kit: Kit, name: str) -> list[Child | None]:
        return [None if ask.row is None else self._child(ask, ask.row, kit, name) for ask in asks]

    def _child(self, ask: Ask, row: Draft, kit: Kit, name: str) -> Child | None:
        draw = Draw(kit.seed, name, row.id, ask.copy)
        second = row.pair is not None and draw.below(2, "side") == 1
        before = (row.pair or "") if second else row.text
        after = self.edit(before, draw, kit, ask.label)
        if after is None or not after.strip() or after == before:
            return None
        texts = (row.text, after) if second else (after, row.pair)
        return Child(ask, name, self.kind, *texts)


def times(share: float, words: int) -> int:
    """How many words a share of them is, at least one (EDA's n = max(1, alpha l))."""
    return max(1, round(share * words))
