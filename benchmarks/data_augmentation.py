"""What operators of augmentation are worth on 500 rows of tweets, and of Chinese reviews: `python benchmarks/data_augmentation.py`.

Two tables a set, as Markdown on standard output. The first is what the step `augment` itself finds on 500 rows by its trial
(folds, paired bootstrap). The second says what is true of the probe: five samples of 500 rows, with and without each operator's
children, on thousands of rows that none of them holds; so it shows whether the trial decides rightly. Both are of the probe, not
of a fine-tuned model. Operators that need a language model are left out: none worth the name is at hand without a network.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tunewright.core.registry import build
from tunewright.core.seeds import key
from tunewright.curating import open_source
from tunewright.data.augmentation import Guard, Kit
from tunewright.data.augmentation.ablation import Interval, _paired, ablate, drawn, shared
from tunewright.data.augmentation.bag import Probe, counter
from tunewright.data.augmentation.gates import USUAL, Ground
from tunewright.data.augmentation.growing import grow
from tunewright.data.augmentation.judging import judge_of, told
from tunewright.data.journal import Draft

SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data"
SETS = {"tweets": ("tweets/tweets.csv", "text", "sentiment"), "waimai": ("waimai/waimai_10k.csv", "review", "label")}
OPERATORS: dict[str, Any] = {
    "synonyms": "synonyms", "insertion": "insertion", "insertion of vocabulary": {"insertion": {"of": "vocabulary"}},
    "deletion": "deletion", "swap": "swap", "typos": "typos", "structure": "structure",
}  # fmt: skip
ROWS, HELD, SAMPLES = 500, 4000, 5


def distinct(name: str) -> list[Draft]:
    """The set's rows, one of each text, in an order by key."""
    path, text, label = SETS[name]
    rows = open_source(SHARED / path, text=text, label=label).settled().drafts
    once = {row.key: row for row in rows if row.label is not None}
    return sorted(once.values(), key=lambda row: key("benchmark", row.key))


def children_of(train: list[Draft], judged: bool, seed: int) -> Iterator[tuple[str, list[Any]]]:
    """Each operator with what it makes of these rows, through the usual gates."""
    labels = tuple(sorted({row.label or "" for row in train}))
    judge, classes = judge_of(train, seed) if judged else (None, ())
    ground = Ground(Kit(seed, Guard(labels), train=train), (), judge, classes)
    gates = [build("gate", name) for name in USUAL if judged or name != "probe"]
    for name, spec in OPERATORS.items():
        yield name, grow({name: build("operator", spec)}, gates, ground, copies=1).kept


def trial(rows: list[Draft]) -> list[str]:
    """The step's own trial on the first 500 rows."""
    train = drawn(rows[:ROWS], 0)
    found = ablate(train, dict(children_of(train, False, 0)), 0, 0.5)
    head = f"Without new rows: accuracy {found.accuracy:.3f}, macro F1 {found.macro_f1:.3f}; intervals of {found.level:.1%} each."
    lines = [head, "", "| operator | new rows a fold | accuracy | macro F1 | |", "|---|--:|--:|--:|---|"]
    for name, worth in found.worth.items():
        said = "pays" if worth.pays else "off"
        lines.append(
            f"| {name} | {worth.children:.0f} | {points(worth.accuracy)} | {points(worth.macro_f1)} | {said} |"
        )
    return lines


def truth(rows: list[Draft]) -> list[str]:
    """Five samples of 500 rows on rows that none of them holds."""
    test = rows[SAMPLES * ROWS : SAMPLES * ROWS + HELD]
    labels = sorted({row.label or "" for row in rows})
    truth_ = np.array([labels.index(row.label or "") for row in test])
    answers: dict[str, list[Any]] = {name: [] for name in ("", *OPERATORS)}
    for sample in range(SAMPLES):
        train = drawn(rows[sample * ROWS : (sample + 1) * ROWS], 0)
        made = {"": [], **dict(children_of(train, True, sample))}
        for name, children in made.items():
            texts = [row.text for row in train] + [child.text for child in children]
            count = counter(texts)
            answers_ = np.array([row.label for row in train] + [child.ask.label for child in children])
            probe = Probe(count(texts), answers_, shared(len(train), len(children)))
            answers[name].append(told(probe, count([row.text for row in test]), labels).argmax(1))
    base = np.stack(answers.pop(""))
    accuracy = float((base == truth_).mean())
    lines = [
        f"Of {SAMPLES} samples of {ROWS} rows, on {len(test):,} others; without new rows accuracy {accuracy:.3f}.", "",
        "| operator | accuracy | macro F1 |", "|---|--:|--:|",
    ]  # fmt: skip
    level = 1 - 0.05 / len(OPERATORS)
    for name, own in answers.items():
        gain, f1 = _paired(truth_, base, np.stack(own), len(labels), level, key("benchmark", name))
        lines.append(f"| {name} | {points(gain)} | {points(f1)} |")
    return lines


def points(one: Interval) -> str:
    """A difference in points with its interval."""
    return f"{100 * one.mean:+.1f} [{100 * one.low:+.1f}, {100 * one.high:+.1f}]"


def main() -> None:
    """Prints the tables of each set."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("sets", nargs="*", default=list(SETS), help=", ".join(SETS))
    for name in asked.parse_args().sets:
        start, rows = time.perf_counter(), distinct(name)
        print(f"## {name}: {ROWS} of {len(rows):,} distinct texts\n")
        print("\n".join(trial(rows)), "\n")
        print("\n".join(truth(rows)), "\n")
        print(f"{time.perf_counter() - start:.0f} s\n", flush=True)


if __name__ == "__main__":
    main()
