"""Train, validation and test by keyed hash: a row's split depends on the seed and its own content alone.

So the split is stable: rows added later move no old row, order and file do not matter, and copies of a text
stay together. Every class is cut at the same thresholds of a uniform number, so its shares are those asked for
up to binomial chance; no row is moved to even them out, because that would move others when data grow.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tunewright.core.seeds import key, uniform
from tunewright.data.journal import Draft, Journal
from tunewright.data.options import Shares

NAMES = ("train", "validation", "test")


def split_of(content_key: str, seed: int, shares: Shares) -> str:
    """The split of a content."""
    number = uniform(seed, "split", content_key)
    if number < shares.test:
        return "test"
    return "validation" if number < shares.test + shares.validation else "train"


def assign(drafts: Sequence[Draft], seed: int, shares: Shares, given: Collection[str]) -> dict[str, list[Draft]]:
    """Sort rows into splits: where their file was given for one, there, else by their hash.

    Args:
        drafts: the rows, with their comparison keys.
        seed: of the run.
        shares: of validation and test; that of a split in `given` is not cut from the other rows.
        given: the splits for which files were given.
    """
    cut = Shares(
        0.0 if "validation" in given else shares.validation,
        0.0 if "test" in given else shares.test,
    )
    splits: dict[str, list[Draft]] = {name: [] for name in NAMES}
    for draft in drafts:
        if draft.split not in ("validation", "test"):
            draft.split = split_of(draft.key, seed, cut)
        splits[draft.split].append(draft)
    return splits


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


def method(seed: int, shares: Shares, given: Collection[str]) -> str:
    """The split in words, for the data card."""
    cut = [f"{share:.0%} {name}" for name, share in (("validation", shares.validation), ("test", shares.test))
           if name not in given and share]  # fmt: skip
    parts = [f"keyed hash of the content (seed {seed}): {', '.join(cut)}"] if cut else []
    if given:
        parts.append(f"{' and '.join(sorted(given))} as given")
    return "; ".join(parts) or "all rows in train"
