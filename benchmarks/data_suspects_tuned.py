"""Label errors by a fine-tuned model: out-of-sample probabilities of MiniLM in five folds, as Markdown.

    python benchmarks/data_suspects_tuned.py --sets sst2 --seeds 1

As `data_suspects.py`, with the probabilities of `tunewright run` with `data.split.folds` in place of a probe's. Duplicates and
conflicts are kept, so that every row has a prediction. About five minutes a seed of sst2 on two cores.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from pathlib import Path

import numpy as np
from cleanlab.rank import get_label_quality_scores
from sklearn.metrics import average_precision_score

from data_suspects import BASE, OURS, SETS, difference, flipped, interval
from tunewright.curating import open_source
from tunewright.recipe import parse
from tunewright.running import work
from tunewright.suspecting import suspects


def one_seed(name: str, seed: int, folds: int, epochs: float) -> dict[str, float]:
    """Average precision of cleanlab's default and of ours, on the same probabilities."""
    drafts, _ = flipped(SETS[name](), seed)
    _, labels = SETS[name]()
    wrong_rows = {i for i, (draft, label) in enumerate(zip(drafts, labels, strict=True)) if draft.label != label}
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.csv"
        with rows.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *((draft.text, draft.label) for draft in drafts)])
        runs = [Path(folder) / f"fold-{fold}" for fold in range(folds)]
        for fold, place in enumerate(runs):
            recipe = parse(
                {
                    "data": {"train": str(rows), "text": "text", "label": "label", "conflicts": "keep", "duplicates": False,
                             "shares": {"validation": 0, "test": 0.2}, "split": {"folds": folds, "fold": fold}},
                    "model": "minilm",
                    "training": {"epochs": epochs, "keep": "last"},
                    "evaluation": {"baselines": ["majority"]},
                    "seed": seed,
                }
            )  # fmt: skip
            for _ in work(recipe, place, until="predict"):
                pass
        found = suspects(open_source(rows, text="text", label="label"), probabilities=runs)
    wrong = np.array([draft.source.line - 2 in wrong_rows for draft in found.drafts])
    quality = get_label_quality_scores(found.opening.given, found.opening.probabilities)
    scores = {BASE: -quality, OURS: found.ranked.score}
    return {contender: float(average_precision_score(wrong, score)) for contender, score in scores.items()}


def main() -> None:
    """Run the sets and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", default=["sst2"], choices=list(SETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--epochs", type=float, default=2)
    asked = parser.parse_args()
    print(
        f"| set | {BASE} | {OURS} | difference, hundredths | seconds a seed |\n| --- | ---: | ---: | ---: | ---: |",
        flush=True,
    )
    for name in asked.sets:
        began = time.perf_counter()
        found = [one_seed(name, seed, asked.folds, asked.epochs) for seed in range(asked.seeds)]
        spent = (time.perf_counter() - began) / asked.seeds
        base, ours = ([one[contender] for one in found] for contender in (BASE, OURS))
        gained = difference([b - a for a, b in zip(base, ours, strict=True)])
        print(f"| {name} | {interval(base)} | {interval(ours)} | {gained} | {spent:.0f} |", flush=True)


if __name__ == "__main__":
    main()
