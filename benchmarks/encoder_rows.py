"""The rows of a benchmark: read, cleaned of empty and repeated texts, drawn by a keyed hash."""

from __future__ import annotations

import csv
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

WORDS = (
    "the",
    "room",
    "was",
    "cold",
    "warm",
    "late",
    "bright",
    "broken",
    "clean",
    "slow",
    "lovely",
    "and",
    "nobody",
    "came",
)


@dataclass(frozen=True)
class Rows:
    """Training rows and other rows for validation; labels are indices into `names`."""

    names: list[str]
    train_texts: list[str]
    train_labels: list[int]
    valid_texts: list[str]
    valid_labels: list[int]


def shared_data() -> Path:
    """The data in the folder that TUNEWRIGHT_SHARED names, else in `shared` beside the repository."""
    shared = os.environ.get("TUNEWRIGHT_SHARED")
    return (Path(shared) if shared else Path(__file__).resolve().parents[2] / "shared") / "data"


def default_data() -> Path:
    """The tweets."""
    return shared_data() / "tweets" / "tweets.csv"


def read(path: Path, text: str, label: str) -> list[tuple[str, str]]:
    """Text and label of every row that has both, the first of each exact text only; tabs alone part a `.tsv`.

    Raises:
        SystemExit: the file or one of the two columns is missing.
    """
    if not path.is_file():
        raise SystemExit(f"there is no file {path}: name one with --data")
    tabs = path.suffix == ".tsv"
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE) if tabs else csv.DictReader(file)
        missing = {text, label} - set(reader.fieldnames or ())
        if missing:
            raise SystemExit(f"{path} has no column {sorted(missing)}; it has {reader.fieldnames}")
        seen: dict[str, str] = {}
        for row in reader:
            if (row[text] or "").strip() and row[label]:
                seen.setdefault(row[text], row[label])
    return list(seen.items())


def draw(pairs: list[tuple[str, str]], train: int, valid: int, seed: int) -> Rows:
    """The first `train` and the next `valid` rows in the order of a hash keyed by `seed`.

    Raises:
        SystemExit: there are fewer rows than that.
    """
    if len(pairs) < train + valid:
        raise SystemExit(f"{train} + {valid} rows are needed, the file has {len(pairs)} after cleaning")

    def rank(pair: tuple[str, str]) -> bytes:
        return hashlib.blake2b(pair[0].encode("utf-8", "surrogatepass"), digest_size=16, salt=b"%d" % seed).digest()

    chosen = sorted(pairs, key=rank)[: train + valid]
    names = sorted({label for _, label in pairs})
    texts, labels = [text for text, _ in chosen], [names.index(label) for _, label in chosen]
    return Rows(names, texts[:train], labels[:train], texts[train:], labels[train:])


def made_up(count: int) -> list[tuple[str, str]]:
    """Meaningless rows of three classes for a smoke test on a machine without the data."""
    pairs = []
    for i in range(count):
        words = [WORDS[(i * 7 + k * k) % len(WORDS)] for k in range(4 + i % 23)]
        pairs.append((f"{' '.join(words)} {i}", ("negative", "neutral", "positive")[i % 3]))
    return pairs
