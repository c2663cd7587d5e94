"""One optimizer step, computed in several ways that must not matter: cut, packed, ordered, with dropout, in bfloat16."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from tunewright.core.seeds import key
from tunewright.selftesting.results import COARSE, EXACT, FOREIGN, MOST, Difference, Found, apart
from tunewright.selftesting.subjects import STEP, Cut, Step, Subject


def accumulation(subject: Subject) -> Found:
    """(a) A step whole, and cut into micro-batches of several sizes by `training.Windows`."""
    whole = [subject.ids]
    tokens = sum(len(e) for e in subject.examples)
    cuts = {f"in {len(cut)} micro-batches": cut for part in (2, 4) for cut in [subject.windows(tokens // part + 1)]}
    cuts |= {"one by one": subject.windows(1)}
    with subject.forward(subject.own) as forward:
        reference = subject.step(forward, whole)
        found = [
            pair for name, cut in cuts.items() for pair in differences(reference, subject.step(forward, cut), name)
        ]
    said = ", ".join(cuts)
    return judged(subject, f"{len(subject.ids)} examples at once and {said}: one loss, one gradient", found)


def layout(subject: Subject) -> Found:
    """(b) Packed, padded, and one by one, which needs neither."""
    alone, whole = [[i] for i in subject.ids], [subject.ids]
    packs = subject.packs
    with subject.forward("padded") as forward:
        reference = subject.step(forward, alone)
        found = differences(reference, subject.step(forward, whole), "padded, against one by one")
    if packs:
        with subject.forward("packed") as forward:
            found += differences(reference, subject.step(forward, whole), "packed, against one by one")
    way = "packed, padded and one by one" if packs else "padded and one by one (this model is not packed)"
    return judged(subject, f"{way}: one loss, one gradient", found)


def order(subject: Subject) -> Found:
    """(c) The rows of a step in other orders, whole and in two parts."""
    ids = subject.ids
    mixed = sorted(ids, key=lambda i: key("order", i))
    half = len(ids) // 2
    cuts: dict[str, Cut] = {
        "in reverse": [ids[::-1]], "mixed": [mixed], "mixed, in two parts": [mixed[:half], mixed[half:]],
    }  # fmt: skip
    with subject.forward(subject.own) as forward:
        reference = subject.step(forward, [ids])
        found = [
            pair for name, cut in cuts.items() for pair in differences(reference, subject.step(forward, cut), name)
        ]
    return judged(subject, "the same rows in other orders: one loss, one gradient", found)


def neighbours(subject: Subject) -> Found:
    """(d) An example's own loss with all others, with some and with none beside it."""
    ids = subject.ids
    pairs = [ids[i : i + 2] for i in range(0, len(ids), 2)]
    others = [[ids[i], ids[-1 - i]] for i in range(len(ids) // 2)] + ([[ids[len(ids) // 2]]] if len(ids) % 2 else [])
    cuts = {"beside all": [ids], "beside the next": pairs, "beside another": others}
    with subject.forward(subject.own) as forward:
        alone = subject.step(forward, [[i] for i in ids])
        if not alone.rows:
            return Found("the objective gives no loss of single examples", applies=False)
        found = [pair for name, cut in cuts.items() for pair in _rows(alone, subject.step(forward, cut), name)]
    return Found.of("an example's own loss is the same alone and beside any others", found)


def dropout(subject: Subject) -> Found:
    """(e) With dropout, the same keys give the same masks however the step is cut, ordered and laid out."""
    ids = subject.ids
    cuts: dict[str, Cut] = {"one by one": [[i] for i in ids], "in reverse": [ids[::-1]], "again": [ids]}
    with subject.forward(subject.own) as forward:
        still = subject.step(forward, [ids])
    with subject.forward(subject.own, dropout=True) as forward:
        whole = subject.step(forward, [ids])
        other = subject.step(forward, [ids], step=STEP + 1)
        moved = apart(whole.loss, other.loss) if subject.kind.altered is None else None
        if still.loss == whole.loss:
            return Found("nothing is dropped in this training", applies=False)
        found = [pair for name, cut in cuts.items() for pair in differences(whole, subject.step(forward, cut), name)]
    if subject.packs:
        with subject.forward("padded" if subject.own == "packed" else "packed", dropout=True) as forward:
            found += differences(whole, subject.step(forward, [ids]), forward.layout)
    if moved == 0.0:
        found.append("another step drops the same: its keys do not count")
    return judged(subject, "the same masks however the step is cut; others in the next step", found)


def precision(subject: Subject) -> Found:
    """The same in what the run computes in; the bound is three times what its rounding does to this very gradient."""
    if subject.precision == "float32":
        return Found("the run computes in float32", applies=False)
    ids = subject.ids
    with subject.forward(subject.own) as forward:
        exact = subject.step(forward, [ids])
    cuts: dict[str, Cut] = {"one by one": [[i] for i in ids], "in reverse, in two": [ids[::-2], ids[-2::-2]]}
    with subject.forward(subject.own, subject.precision) as forward:
        whole = subject.step(forward, [ids])
        found = [pair for name, cut in cuts.items() for pair in differences(whole, subject.step(forward, cut), name)]
    rounding = max(one[0] for one in differences(exact, whole, "") if not isinstance(one, str))
    bound = min(3 * max(rounding, EXACT), COARSE)
    if not rounding <= FOREIGN and not rounding <= 3 * sensitivity(subject) * 2**16:  # bfloat16 has 16 bits less
        found.append(
            f"in {subject.precision} the step is {rounding:.2g} apart from that in float32: more than rounding"
        )
    words = f"cut and ordered in {subject.precision}: within three times what its rounding does, {rounding:.1g}"
    return Found.of(words, found, bound)


def judged(subject: Subject, words: str, found: list[Difference]) -> Found:
    """The differences under the bound of float32: 1e-5, or more where the gradient is small beside what it is a sum of.

    Then rounding shows in it, as it does where every weight is moved by one part in 2^24: three times that is allowed.
    """
    if all(isinstance(one, str) or one[0] <= EXACT for one in found):
        return Found.of(words, found)
    bound = min(max(3 * sensitivity(subject), EXACT), MOST)
    return Found.of(words if bound == EXACT else f"{words}; its parts cancel, so that rounding shows", found, bound)


def sensitivity(subject: Subject) -> float:
    """How far the step moves, relative, when every weight is moved by what float32 rounds by."""
    with subject.forward(subject.own) as forward:
        before = subject.step(forward, [subject.ids])
        with subject.shaken():
            after = subject.step(forward, [subject.ids])
    return max(one[0] for one in differences(before, after, "") if not isinstance(one, str))


def differences(one: Step, other: Step, name: str) -> list[Difference]:
    """How loss and gradient differ, relative; in words where something is counted otherwise or lacks."""
    said: list[Difference] = []
    if dict(one.totals) != dict(other.totals):
        said.append(f"{name}: {_totals(one.totals)} are supervised, then {_totals(other.totals)}")
    said.append((apart(one.loss, other.loss), f"{name}: the loss is {one.loss:.6g}, then {other.loss:.6g}"))
    names = one.gradient.keys() | other.gradient.keys()
    gaps = {n: _gap(one.gradient.get(n), other.gradient.get(n)) for n in sorted(names)}
    norm, gap = one.norm(), sum(g * g for g in gaps.values()) ** 0.5
    worst = max(gaps, key=lambda n: gaps[n], default="")
    figure = gap / norm if norm else gap
    said.append((figure, f"{name}: the gradients differ, most that of {worst}{_where(one, other)}"))
    return said


def _gap(one: Tensor | None, other: Tensor | None) -> float:
    if one is None or other is None:
        lone = other if one is None else one
        return 0.0 if lone is None else float(lone.double().norm())
    return float((one.double() - other.double()).norm())


def _where(one: Step, other: Step) -> str:
    """The example whose own loss differs most, where one does."""
    rows = [(pair, words) for pair, words in _rows(one, other, "")]
    worst = max(rows, default=None)
    return f"; of the examples, {worst[1].removeprefix(': ')}" if worst is not None and worst[0] > EXACT else ""


def _rows(one: Step, other: Step, name: str) -> list[tuple[float, str]]:
    """How each example's own loss differs, relative to the mean size of them all."""
    size = max(sum(abs(x) for x in one.rows.values()) / max(len(one.rows), 1), 1e-12)
    return [
        (apart(row, other.rows.get(i, float("nan")), max(abs(row), size)),
         f"{name}: example {i} has a loss of {row:.6g}, then {other.rows.get(i, float('nan')):.6g}")
        for i, row in one.rows.items()
    ]  # fmt: skip


def _totals(totals: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {unit}s" for unit, n in totals.items() if unit != "step")
