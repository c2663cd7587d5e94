"""The same content twice: conflicts of answers, exact copies, and copies across splits.

Contents are the same where they are equal in Unicode's composed form without regard to case and white space.
Files given for different splits are looked at apart, until `remove_leaked` compares them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from tunewright.data.journal import Draft, Journal, excerpt
from tunewright.data.targets.protocol import Target

_RANK = {"train": 0, "validation": 1, "test": 2}


def resolve_conflicts(drafts: list[Draft], policy: str, target: Target, journal: Journal) -> list[Draft]:
    """Settle contents that stand under answers that contradict each other.

    `drop` sets the whole cluster aside, `majority` keeps what the target says that most agree on and sets a tie
    aside, `keep` keeps all and only reports.
    """
    first: dict[tuple[str | None, str], str | None] = {}
    torn: dict[tuple[str | None, str], list[Draft]] = {}
    for draft in drafts:
        place = (draft.split, draft.key)
        if first.setdefault(place, draft.label) != draft.label:
            torn[place] = []
    for draft in drafts if torn else ():
        if (draft.split, draft.key) in torn:
            torn[draft.split, draft.key].append(draft)
    gone: set[int] = set()
    for cluster in target.conflicts(list(torn.values()), drafts):
        gone.update(_settle(cluster, policy, target, journal))
    left = [draft for draft in drafts if id(draft) not in gone]
    journal.close("conflicts", len(drafts), len(left))
    return left


def _settle(cluster: list[Draft], policy: str, target: Target, journal: Journal) -> list[int]:
    votes = Counter(draft.label or "" for draft in cluster).most_common()
    said = ", ".join(f"{excerpt(label)!r} x {count}" for label, count in votes)
    lines = ", ".join(str(draft.source.line) for draft in cluster[:6])
    detail = f"{said}; lines {lines}"
    if policy == "keep":
        for draft in cluster:
            journal.show(f"{target.conflict}_kept", draft.source, draft.text, detail)
        return []
    agreed = target.majority(cluster) if policy == "majority" else None
    if agreed is not None:
        losers = _losers(cluster, agreed, target, detail, journal)
        for draft in losers:
            journal.note("conflicts", "dropped", f"{target.conflict}_minority", draft, detail)
        return [id(draft) for draft in losers]
    for draft in cluster:
        journal.note("conflicts", "quarantined", target.conflict, draft, detail)
    return [id(draft) for draft in cluster]


def _losers(cluster: Sequence[Draft], agreed: str, target: Target, detail: str, journal: Journal) -> list[Draft]:
    """The rows with another answer than the agreed one, which the first row is given where no row has it."""
    if all(draft.label != agreed for draft in cluster):
        cluster[0].label = agreed
        journal.note("conflicts", "changed", f"{target.conflict}_agreed", cluster[0], f"{detail}; became {agreed}")
    return [draft for draft in cluster if draft.label != agreed]


def drop_duplicates(drafts: list[Draft], journal: Journal) -> list[Draft]:
    """Keep the first copy of each content under each label."""
    first: dict[tuple[str | None, str, str | None], Draft] = {}
    left = []
    for draft in drafts:
        kept = first.setdefault((draft.split, draft.key, draft.label), draft)
        if kept is draft:
            left.append(draft)
            continue
        same_file = kept.source.file == draft.source.file
        where = f"line {kept.source.line}" if same_file else f"{kept.source.file}, line {kept.source.line}"
        journal.note("duplicates", "duplicate", "duplicate", draft, f"same as {where}")
    journal.close("duplicates", len(drafts), len(left))
    return left


def remove_leaked(splits: Mapping[str, list[Draft]], journal: Journal) -> dict[str, list[Draft]]:
    """Take the copies of test rows out of validation and train, and those of validation rows out of train.

    Near copies too, where a step has found clusters: files given for splits, a manifest and a split by time may part one.
    """
    held: dict[str, Draft] = {}
    clusters: dict[str | None, Draft] = {}
    left: dict[str, list[Draft]] = defaultdict(list)
    for name in sorted(splits, key=lambda name: -_RANK[name]):
        for draft in splits[name]:
            copy = held.get(draft.key)
            near = clusters.get(draft.cluster) if copy is None and draft.cluster is not None else None
            if copy is None and near is None:
                left[name].append(draft)
            elif copy is not None:
                where = f"same as {copy.source.file}, line {copy.source.line}, in {copy.split}"
                journal.note("leakage", "leaked", "leaked", draft, where)
            elif near is not None:
                where = f"near copy of {near.source.file}, line {near.source.line}, in {near.split}"
                journal.note("leakage", "leaked", "leaked_near", draft, where)
        if name != "train":
            held.update((draft.key, draft) for draft in splits[name])
            clusters.update((draft.cluster, draft) for draft in splits[name] if draft.cluster is not None)
    entered = sum(len(rows) for rows in splits.values())
    done = {name: left[name] for name in splits}
    journal.close("leakage", entered, sum(len(rows) for rows in done.values()))
    return done
