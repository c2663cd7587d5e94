"""Near copies: how fast, and how many of the pairs that brute force finds; beside datasketch at the same threshold.

datasketch is given the same shingles as strings of bytes already cut, which is its best case: what it is timed on is signatures,
insertion and queries alone, as its documentation shows them. Recall is over pairs of a sample whose Jaccard coefficient over
those shingles reaches the threshold, found by holding every row against every other; for both, a pair is found where it is
a candidate (datasketch) or ends in one cluster (ours).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_rows import texts
from tunewright.data.similarity.clusters import batches, near_clusters
from tunewright.data.similarity.shingles import Sets, jaccard, shingled
from tunewright.data.similarity.signatures import banding, signatures

THRESHOLD = 0.8


@dataclass(frozen=True)
class Copies:
    """Texts a second (CPU time of one core), and recall on the sample's pairs."""

    rows: int
    ours: float
    signatures: float
    theirs: float
    sample: int
    pairs: int
    our_recall: float
    their_recall: float


def measured(count: int, theirs: int, sample: int) -> Copies:
    """Ours on `count` texts, datasketch on `theirs` of them, recall on `sample`."""
    rows = texts(count)
    near_clusters(rows[:200], THRESHOLD)
    start = time.process_time()
    near_clusters(rows, THRESHOLD)
    ours = count / (time.process_time() - start)
    shape, spent = banding(THRESHOLD), 0.0
    for batch in batches(rows):
        sets = shingled(batch, THRESHOLD)
        start = time.process_time()
        signatures(sets, shape.bands * shape.rows)
        spent += time.process_time() - start
    peer, _ = _datasketch(rows[:theirs])
    some = texts(sample, 1000)
    pairs = true_pairs(some)
    clusters = near_clusters(some, THRESHOLD)
    _, found = _datasketch(some)
    hit = sum(bool(clusters[i] == clusters[j]) for i, j in pairs)
    return Copies(
        count, ours, count / spent, theirs / peer, sample, len(pairs), hit / len(pairs), len(pairs & found) / len(pairs)
    )


def true_pairs(rows: Sequence[str]) -> set[tuple[int, int]]:
    """All pairs of texts that are near, by brute force over sets of one kind."""
    found, sets = set(), shingled(rows, THRESHOLD)
    for e in range(len(sets.owner)):
        others = np.flatnonzero(sets.long[:e] == sets.long[e])
        near = others[jaccard(sets, np.full(len(others), e), others) >= THRESHOLD - 1e-12] if len(others) else others
        found |= {(int(sets.owner[f]), int(sets.owner[e])) for f in near if sets.owner[f] != sets.owner[e]}
    return found


def _datasketch(rows: Sequence[str]) -> tuple[float, set[tuple[int, int]]]:
    """Seconds, and candidate pairs."""
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=THRESHOLD, num_perm=128)
    found: set[tuple[int, int]] = set()
    sets: Sets = shingled(rows, THRESHOLD)
    cut = [
        [int(v).to_bytes(8, "little") for v in sets.values[a:b]]
        for a, b in zip(sets.starts, sets.starts[1:], strict=False)
    ]
    start = time.process_time()
    for e, shingles in enumerate(cut):
        made = MinHash(num_perm=128)
        made.update_batch(shingles)
        found |= {(int(sets.owner[f]), int(sets.owner[e])) for f in index.query(made)}
        index.insert(e, made)
    spent = time.process_time() - start
    return spent, {(min(p), max(p)) for p in found if p[0] != p[1]}


def table(found: Copies) -> list[str]:
    """The figures as Markdown."""
    return [
        f"Near copies at {THRESHOLD} (CPU time of one core; recall of the {found.pairs:,} pairs that brute force finds among "
        f"{found.sample:,} rows)",
        "",
        "| | texts a second | recall |",
        "|---|---|---|",
        f"| Tunewright: shingles, signatures, bands, verification, clusters | {found.ours:,.0f} | {found.our_recall:.4f} |",
        f"| its signatures alone | {found.signatures:,.0f} | |",
        f"| datasketch (MinHashLSH, 128 permutations), shingles given: signatures, query, insertion | {found.theirs:,.0f} | "
        f"{found.their_recall:.4f} |",
        f"| ratio | {found.ours / found.theirs:.1f} | |",
    ]
