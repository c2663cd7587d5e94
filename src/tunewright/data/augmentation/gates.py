"""The gates that every child must pass, in their order; each rejects with a reason code and the evidence.

| gate | rejects | code |
|---|---|---|
| same | what equals its parent, any row of train, or a child before it | augment_same |
| leaked | what equals a held-out row, or is near to one (Jaccard of shingles from `near`) | augment_leaked |
| length | what is shorter or longer than the parent by more than the ratios | augment_length |
| protected | edits that changed a protected token; rewrites that changed a name, a number or whether they deny | augment_protected |
| probe | what the probe takes for another label with confidence, while it took the parent for its own | augment_probe |
| perplexity | what a language model finds so many times as unlikely as the parent | augment_perplexity |
| similar | what an encoder finds less alike to the parent than that | augment_dissimilar |

A gate is given all children that are left, at once, and hands back for each "" or why it is rejected. A generated text has
no parent: its length is held to that of its label's rows, its perplexity to their median, and the probe must not be sure of
another label.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, ClassVar, Protocol

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray

from tunewright.core.registry import register
from tunewright.data.augmentation.near import Near
from tunewright.data.augmentation.protocol import Child, Kit, Need
from tunewright.data.journal import Draft, excerpt

Judge = Callable[[Sequence[Child]], tuple[NDArray[np.float64], NDArray[np.float64]]]
"""Children to the probabilities (N, C) of their texts and of their parents' by a probe that has seen neither."""


@dataclass(frozen=True)
class Ground:
    """What gates compare with: the rows of train (`kit`), held-out rows, models, and the keys of children `made` before.

    `judge` and `classes` are None and empty where there is no probe.
    """

    kit: Kit
    held: Sequence[Draft] = ()
    judge: Judge | None = None
    classes: tuple[str, ...] = ()
    encode: Callable[[Sequence[str]], NDArray[np.float32]] | None = None
    perplexity: Callable[[Sequence[str]], NDArray[np.float64]] | None = None
    indices: dict[float, Near] = field(default_factory=dict, repr=False, compare=False)
    made: set[str] = field(default_factory=set, repr=False, compare=False)

    @cached_property
    def keys(self) -> dict[str, str]:
        """The keys of train's rows, with their ids."""
        return {row.key: row.id for row in self.kit.train}

    @cached_property
    def held_keys(self) -> dict[str, Draft]:
        return {row.key: row for row in self.held}

    @cached_property
    def lengths(self) -> dict[str, tuple[int, int]]:
        """By label, the lengths of its shortest and longest row; by "" those of all."""
        found: dict[str, tuple[int, int]] = {}
        for row in self.kit.train:
            for label in (row.label or "", ""):
                low, high = found.get(label, (len(row.text), len(row.text)))
                found[label] = min(low, len(row.text)), max(high, len(row.text))
        return found

    def near(self, least: float) -> Near:
        """The index of the held-out rows."""
        if least not in self.indices:
            self.indices[least] = Near([whole(row) for row in self.held], least)
        return self.indices[least]


class Gate(Protocol):
    """One check. `code` is the ledger's reason."""

    code: ClassVar[str]
    needs: ClassVar[tuple[Need, ...]]

    def __call__(self, children: Sequence[Child], ground: Ground) -> list[str]: ...


def whole(row: Draft | Child) -> str:
    """A row's texts as one."""
    return row.text if row.pair is None else f"{row.text}\n{row.pair}"


@register("gate", "same")
@dataclass(frozen=True)
class Same:
    """Against rows of train and against each other, by folded text; the first of equal children stays."""

    code: ClassVar[str] = "augment_same"
    needs: ClassVar[tuple[Need, ...]] = ()

    def __call__(self, children: Sequence[Child], ground: Ground) -> list[str]:
        seen = set(ground.made)
        found = []
        for child in children:
            row = ground.keys.get(child.key)
            found.append(f"same as row {row}" if row else "same as another child" if child.key in seen else "")
            seen.add(child.key)
        return found


@register("gate", "leaked")
@dataclass(frozen=True)
class Leaked:
    """`near`: Jaccard's index from which a child is too near to a held-out row; 1 asks for equality alone."""

    code: ClassVar[str] = "augment_leaked"
    needs: ClassVar[tuple[Need, ...]] = ()
    near: Annotated[float, Gt(0), Le(1)] = 0.7

    shorthand: ClassVar[str] = "near"

    def __call__(self, children: Sequence[Child], ground: Ground) -> list[str]:
        return [self._leaked(child, ground) for child in children]

    def _leaked(self, child: Child, ground: Ground) -> str:
        row = ground.held_keys.get(child.key)
        if row is not None:
            return f"same as row {row.id} of {row.split}"
        hit = ground.near(self.near).nearest(whole(child)) if self.near < 1 and ground.held else None
        if hit is None:
            return ""
        row = ground.held[hit.place]
        return f"near to row {row.id} of {row.split} ({hit.jaccard:.2f}): {excerpt(row.text)}"


@register("gate", "length")
@dataclass(frozen=True)
class Length:
    """`low` and `high`: the child's characters over the parent's."""

    code: ClassVar[str] = "augment_length"
    needs: ClassVar[tuple[Need, ...]] = ()
    low: Annotated[float, Ge(0), Le(1)] = 0.5
    high: Annotated[float, Ge(1)] = 2.0

    def __call__(self, children: Sequence[Child], ground: Ground) -> list[str]:
        return [self._out(child, ground) for child in children]

    def _out(self, child: Child, ground: Ground) -> str:
        n, row = len(whole(child)), child.ask.row
        if row is not None and child.kind != "new":
            least = most = max(len(whole(row)), 1)
        elif ground.lengths:
            least, most = ground.lengths.get(child.ask.label, ground.lengths[""])
        else:
            return ""
        if self.low * least <= n <= self.high * most:
            return ""
        return f"{n} characters against {least}" + (f" to {most}" if most > least else "")


@register("gate", "protected")
@dataclass(frozen=True)
class Protected:
    """Edits keep every protected token; rewrites keep numbers, names, links and masks, and deny where the parent denies."""

    code: ClassVar[str] = "augment_protected"
    needs: ClassVar[tuple[Need, ...]] = ()

    def __call__(self, children: Sequence[Child], ground: Ground) -> list[str]:
        return [self._lost(child, ground) for child in children]

    def _lost(self, child: Child, ground: Ground) -> str:
        row, guard = child.ask.row, ground.kit.guard
        if row is None or child.kind == "new":
            return ""
        old, new = whole(row), whole(child)
        before, after = guard.signature(old), guard.signature(new)
        if child.kind == "rewrite":
            if guard.denied(old) != guard.denied(new):
                return "a negation came or went"
            before, after = guard.named(old), guard.named(new)
        lost, gained = sorted((before - after).elements()), sorted((after - before).elements())
        said = [f"{word} {names[:3]}" for word, names in (("without", lost), ("with", gained)) if names]
        return ", ".join(said).replace("[", "").replace("]", "")


@register("gate", "probe")
@dataclass(frozen=True)
class ProbeGate:
    """`confidence`: how sure the probe must be of another label to reject."""

    code: ClassVar[str] = "augment_probe"
    needs: ClassVar[tuple[Need, ...]] = ()
    confidence: Annotated[float, Gt(0), Le(1)] = 0.5

    shorthand: ClassVar[str] = "confidence"

    def __call__(self, children: Sequence[Child], ground: Ground) -> list[str]:
        if ground.judge is None or not children:
            return [""] * len(children)
        own, parents = ground.judge(children)
        places = {label: i for i, label in enumerate(ground.classes)}
        found = []
        for child, p, q in zip(children, own, parents, strict=True):
            label = places.get(child.ask.label, -1)
            top = int(p.argmax())
            moved = label >= 0 and top != label and p[top] >= self.confidence
            before = child.kind == "new" or child.ask.row is None or int(q.argmax()) == label
            found.append(f"looks like {ground.classes[top]!r} ({p[top]:.2f})" if moved and before else "")
        return found


@register("gate", "perplexity")
@dataclass(frozen=True)
class PerplexityGate:
    """`ratio`: of the child's perplexity to the parent's; a parent of which nothing can be judged asks nothing."""

    code: ClassVar[str] = "augment_perplexity"
    needs: ClassVar[tuple[Need, ...]] = ("perplexity",)
    ratio: Annotated[float, Ge(1)] = 3.0

    shorthand: ClassVar[str] = "ratio"

    def __call__(self, children: Sequence[Child], ground: Ground) -> list[str]:
        if ground.perplexity is None or not children:
            return [""] * len(children)
        mine = ground.perplexity([whole(child) for child in children])
        rows = {row.id: row for row in ground.kit.train}
        asked = {
            child.ask.row.id: child.ask.row for child in children if child.ask.row is not None and child.kind != "new"
        }
        if len(asked) < len(children):  # a generated text is held to what is usual
            asked |= {id_: rows[id_] for id_ in sorted(rows)[:200]}
        theirs = dict(zip(asked, ground.perplexity([whole(row) for row in asked.values()]), strict=True))
        usual = float(np.nanmedian(list(theirs.values()))) if theirs else float("inf")
        found = []
        for child, p in zip(children, mine, strict=True):
            row = child.ask.row
            q = usual if row is None or child.kind == "new" else float(theirs[row.id])
            found.append(f"perplexity {p:.0f} against {q:.0f}" if np.isfinite(q) and not p <= self.ratio * q else "")
        return found


@register("gate", "similar")
@dataclass(frozen=True)
class Similar:
    """`least`: the cosine of the child's and the parent's vectors."""

    code: ClassVar[str] = "augment_dissimilar"
    needs: ClassVar[tuple[Need, ...]] = ("encode",)
    least: Annotated[float, Ge(-1), Le(1)] = 0.7

    shorthand: ClassVar[str] = "least"

    def __call__(self, children: Sequence[Child], ground: Ground) -> list[str]:
        held = [(i, child, child.ask.row) for i, child in enumerate(children) if child.kind != "new"]
        pairs = [(i, child, row) for i, child, row in held if row is not None]
        found = [""] * len(children)
        if ground.encode is None or not pairs:
            return found
        mine = ground.encode([whole(child) for _, child, _ in pairs])
        theirs = ground.encode([whole(row) for _, _, row in pairs])
        for (i, _, _), cosine in zip(pairs, (mine * theirs).sum(1).tolist(), strict=True):
            found[i] = f"cosine {cosine:.2f}" if not cosine >= self.least else ""
        return found


USUAL: tuple[str, ...] = ("same", "leaked", "length", "protected", "probe")
CODES: Mapping[str, tuple[str, str]] = {
    "augment_same": ("New rows that say nothing new", "rejected"),
    "augment_leaked": ("New rows that equal a held-out row or are near to one", "rejected"),
    "augment_length": ("New rows much shorter or longer than their parent", "rejected"),
    "augment_protected": ("New rows that lost a negation, number, name or link", "rejected"),
    "augment_probe": ("New rows that look like another label", "rejected"),
    "augment_perplexity": ("New rows that a language model finds unlikely", "rejected"),
    "augment_dissimilar": ("New rows that mean something else than their parent", "rejected"),
}
