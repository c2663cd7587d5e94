"""Train, validation and test by keyed hash: a row's split depends on the seed and its own content alone.

So the split is stable: rows added later move no old row, order and file do not matter, and copies of a text
stay together. Every class is cut at the same thresholds of a uniform number, so its shares are those asked for
up to binomial chance; no row is moved to even them out, because that would move others when data grow.

What stays together is a unit (`tunewright.data.units`): a content, a cluster of near copies, a group. Other ways to divide
units are asked for: by time, in folds, stratified. Where a manifest says where rows were, they stay there; a new row goes
where its unit's old rows are, and one that would join the units of two splits is left out (`bridges_splits`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from tunewright.core.seeds import key, uniform
from tunewright.data.by_time import by_time
from tunewright.data.journal import Draft, Journal
from tunewright.data.options import Division, Shares
from tunewright.data.units import units

NAMES = ("train", "validation", "test")
CONTENT = Division()


def split_of(content_key: str, seed: int, shares: Shares) -> str:
    """The split of a content."""
    number = uniform(seed, "split", content_key)
    if number < shares.test:
        return "test"
    return "validation" if number < shares.test + shares.validation else "train"


@dataclass(frozen=True)
class Divided:
    """Rows by split, and those that bridge two splits of the manifest and so belong to none."""

    splits: dict[str, list[Draft]]
    bridges: list[Draft]


def assign(
    drafts: Sequence[Draft],
    seed: int,
    shares: Shares,
    given: Collection[str],
    division: Division = CONTENT,
    manifest: Mapping[str, str] | None = None,
) -> Divided:
    """Sort rows into splits: where their file was given for one, there, else as the division says.

    Args:
        drafts: the rows, with their comparison keys.
        seed: of the run.
        shares: of validation and test; that of a split in `given` is not cut from the other rows.
        given: the splits for which files were given.
        division: what stays together, and how units are divided.
        manifest: the split of keys that were divided before.

    Raises:
        DataError: a split by time, of rows without one.
    """
    cut = Shares(
        0.0 if "validation" in given else shares.validation,
        0.0 if "test" in given else shares.test,
    )
    splits: dict[str, list[Draft]] = {name: [] for name in NAMES}
    free = [draft for draft in drafts if draft.split not in ("validation", "test")]
    places, bridges = _placed(free, seed, cut, division, manifest or {})
    for draft in drafts:
        if draft.split not in ("validation", "test"):
            if id(draft) in bridges:
                continue
            draft.split = places[id(draft)]
        splits[draft.split].append(draft)
    return Divided(splits, [draft for draft in free if id(draft) in bridges])


def _placed(
    free: Sequence[Draft], seed: int, cut: Shares, division: Division, manifest: Mapping[str, str]
) -> tuple[dict[int, str], set[int]]:
    """The split of each row by its identity, and the rows that bridge two splits."""
    names = units(free, division.by == "group")
    before: dict[str, set[str]] = defaultdict(set)
    for draft, unit in zip(free, names, strict=True):
        if draft.key in manifest:
            before[unit].add(manifest[draft.key])
    open_rows = [(draft, unit) for draft, unit in zip(free, names, strict=True) if unit not in before]
    chosen = by_time(open_rows, cut) if division.by == "time" else _by_unit(open_rows, seed, cut, division)
    places, bridges = dict[int, str](), set[int]()
    for draft, unit in zip(free, names, strict=True):
        if draft.key in manifest:
            places[id(draft)] = manifest[draft.key]
        elif unit not in before:
            places[id(draft)] = chosen[unit]
        elif len(before[unit]) == 1:
            places[id(draft)] = next(iter(before[unit]))
        else:
            bridges.add(id(draft))
    return places, bridges


def _by_unit(rows: Sequence[tuple[Draft, str]], seed: int, cut: Shares, division: Division) -> dict[str, str]:
    """The split of each unit: by its hash, or evened out over classes; the test split may be one of several folds."""
    found: dict[str, str] = {}
    left = list(rows)
    if division.folds is not None:
        parts = {str(fold): 1 / division.folds for fold in range(division.folds)}
        folds = _parted(left, seed, "fold", parts, division.stratify)
        found = {unit: "test" for unit, fold in folds.items() if fold == str(division.fold)}
        left = [(draft, unit) for draft, unit in left if unit not in found]
        cut = Shares(cut.validation, 0.0)
    if division.stratify:
        shares = {"test": cut.test, "validation": cut.validation, "train": 1 - cut.test - cut.validation}
        return found | _parted(left, seed, "split", shares, True)
    return found | {unit: split_of(unit, seed, cut) for unit in {unit for _, unit in left}}


def _parted(
    rows: Sequence[tuple[Draft, str]], seed: int, what: str, shares: Mapping[str, float], stratify: bool
) -> dict[str, str]:
    """The part of each unit: by the place of its hash among the shares, or where its classes are needed most.

    Stratified: units from the largest to the smallest, in the order of their hashes, each to the part that lacks most of
    its rows' classes (greedy, after Sechidis et al. 2011, "On the Stratification of Multi-label Data").
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for draft, unit in rows:
        counts[unit][draft.label or ""] += 1
    hashes = {unit: uniform(seed, what, unit) for unit in counts}
    if not stratify:
        return {unit: _at(number, shares) for unit, number in hashes.items()}
    total = sum(counts.values(), Counter[str]())
    wanted = {part: {label: share * n for label, n in total.items()} for part, share in shares.items()}
    found = {}
    for unit in sorted(counts, key=lambda unit: (-counts[unit].total(), hashes[unit], unit)):
        own = counts[unit]
        lack = {
            part: sum(n * need[label] / total[label] for label, n in own.items()) - 1e9 * (shares[part] == 0)
            for part, need in wanted.items()
        }
        part = max(lack, key=lambda part: (lack[part], shares[part]))
        found[unit] = part
        for label, n in own.items():
            wanted[part][label] -= n
    return found


def _at(number: float, shares: Mapping[str, float]) -> str:
    """The part in whose stretch of the shares, laid end to end, the number lies."""
    edge = 0.0
    for part, share in shares.items():
        edge += share
        if number < edge:
            return part
    return list(shares)[-1]


def limit_rows(drafts: list[Draft], limit: int | None, seed: int, journal: Journal) -> list[Draft]:
    """Keep `limit` of the rows that no file gives to validation or test: those with the lowest keyed hash."""
    if limit is not None:
        free = [draft for draft in drafts if draft.split not in ("validation", "test")]
        ranked = sorted(free, key=lambda draft: (key(seed, "limit", draft.key), draft.id))
        over = {id(draft) for draft in ranked[limit:]}
        left = [draft for draft in drafts if id(draft) not in over]
        for draft in ranked[limit:]:
            journal.note("limit", "dropped", "over_limit", draft)
        journal.close("limit", len(drafts), len(left))
        return left
    return drafts


def method(seed: int, shares: Shares, given: Collection[str], division: Division = CONTENT) -> str:
    """The split in words, for the data card."""
    cut = [f"{share:.0%} {name}" for name, share in (("validation", shares.validation), ("test", shares.test))
           if name not in given and share and not (name == "test" and division.folds)]  # fmt: skip
    parts = [f"fold {division.fold} of {division.folds} as test"] if division.folds else []
    if cut and division.by == "time":
        parts.append(f"by time, the latest rows held out: {', '.join(cut)}")
    elif cut:
        what = "content" if division.by == "content" else "group"
        even = ", stratified by class" if division.stratify else ""
        parts.append(f"keyed hash of the {what} (seed {seed}){even}: {', '.join(cut)}")
    if given:
        parts.append(f"{' and '.join(sorted(given))} as given")
    if division.manifest and parts:
        parts.append("rows of an earlier division stay where they were")
    return "; ".join(parts) or "all rows in train"
