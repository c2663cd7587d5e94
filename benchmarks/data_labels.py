"""Annotators: how long agreement and arbitration take, and how often Dawid-Skene is right against the majority, as Markdown.

    python benchmarks/data_labels.py
    python benchmarks/data_labels.py --items 1000000 --runs 1

Annotators are generated: 50 thousand items of 3 labels, 60 annotators of whom 10 draw their answers, the others right with a
probability of their own between 0.6 and 0.9; the best that anybody can do knows each annotator's true confusion matrix. Answers to
real questions (../shared/data) stand below where they are at hand.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tunewright.data.labels import LEVELS, Vote, Votes, agree, arbitrate, gathered
from tunewright.data.labels.agreement import value
from tunewright.data.labels.agreement.krippendorff import alpha
from tunewright.data.labels.arbitration import dawid_skene, held

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def crowd(
    items: int, each: int, seed: int, labels: int = 3, annotators: int = 60, spammers: int = 10
) -> tuple[Votes, np.ndarray]:
    """Generated votes and their truth (N,)."""
    draws = np.random.default_rng(seed)
    truth, skill = draws.integers(0, labels, items), draws.uniform(0.6, 0.9, annotators)
    who = np.argsort(draws.random((items, annotators), dtype=np.float32), 1)[:, :each]
    wrong = (truth[:, None] + draws.integers(1, labels, (items, each))) % labels
    said = np.where(draws.random((items, each)) < skill[who], truth[:, None], wrong)
    said = np.where(who < spammers, draws.integers(0, labels, (items, each)), said)
    votes = Votes(
        tuple(f"{i:07d}" for i in range(items)), tuple(f"{j:02d}" for j in range(annotators)), tuple("abc"[:labels]),
        np.repeat(np.arange(items), each), who.ravel().astype(np.int64), said.ravel().astype(np.int64),
    )  # fmt: skip
    return votes, truth


def best(votes: Votes, truth: np.ndarray) -> float:
    """How often one is right who knows every annotator's confusion matrix."""
    c = len(votes.labels)
    errs = np.full((len(votes.by), c, c), 1e-9)
    np.add.at(errs, (votes.who, truth[votes.item], votes.label), 1)
    scores = np.zeros((len(votes.items), c))
    np.add.at(scores, votes.item, np.log(errs / errs.sum(2, keepdims=True))[votes.who, :, votes.label])
    return float((scores.argmax(1) == truth).mean())


def timed(what: Callable[[], object], runs: int) -> tuple[float, object]:
    """Seconds, the least of some runs, and what came of it."""
    found, least = None, float("inf")
    for _ in range(runs):
        began = time.perf_counter()
        found = what()
        least = min(least, time.perf_counter() - began)
    return least, found


def generated(items: int, runs: int) -> None:
    """Dawid-Skene on generated annotators, by how many answer each item."""
    print(f"\n{items:,} items x 3 labels, 60 annotators, 10 of them spammers\n")
    print(
        "| answers an item | majority | Dawid-Skene | best possible | iterations | seconds |\n|---|---|---|---|---|---|"
    )
    for each in (3, 4, 5, 7):
        rows, taken, steps = [], [], []
        for seed in range(runs):
            votes, truth = crowd(items, each, seed)
            seconds, model = timed(lambda votes=votes: dawid_skene(votes), 1)
            right = model.posterior.argmax(1) == truth
            rows.append(((votes.counts().argmax(1) == truth).mean(), right.mean(), best(votes, truth)))
            taken.append(seconds)
            steps.append(model.iterations)
        majority, ours, most = np.mean(rows, 0)
        print(f"| {each} | {majority:.3f} | {ours:.3f} | {most:.3f} | {max(steps)} | {np.median(taken):.2f} |")


def ratings(runs: int) -> None:
    """Alpha of 6,500 answers of 260 annotators to 750 items on five steps."""
    draws = np.random.default_rng(0)
    item = np.repeat(np.arange(750), 9)[:6500]
    usual = draws.integers(0, 5, 750)
    said = np.clip(usual[item] + draws.integers(-1, 2, 6500), 0, 4)
    who = (np.arange(6500) * 7) % 260
    names = tuple(f"{i:03d}" for i in range(750))
    print("\n6,500 ratings, 750 items, 260 annotators\n\n| what | seconds |\n|---|---|")
    for level in LEVELS:
        votes = Votes(names, tuple(f"{j:03d}" for j in range(260)), tuple("12345"), item, who, said, level)
        seconds, _ = timed(lambda votes=votes: value(alpha(votes.level, votes.values), votes.counts()), 5 * runs)
        print(f"| alpha, {level} | {seconds:.4f} |")
        seconds, _ = timed(lambda votes=votes: agree(votes), 1)
        print(f"| every figure with intervals, labels, annotators, {level} | {seconds:.2f} |")


def real() -> None:
    """Dawid-Skene and the others on questions whose answers are known."""
    place = DATA / "crowd_duck"
    if not place.is_dir():
        return
    with (place / "answer.csv").open(encoding="utf-8", newline="") as file:
        votes = gathered([Vote(r["question"], r["worker"], r["answer"]) for r in csv.DictReader(file)])
    with (place / "truth.csv").open(encoding="utf-8", newline="") as file:
        truth = {r["question"]: r["truth"] for r in csv.DictReader(file)}
    print(f"\ncrowd_duck, {len(votes):,} answers of {len(votes.by)} annotators to {len(votes.items)} items\n")
    print("| method | right | 95% interval | gained | lost | p |\n|---|---|---|---|---|---|")
    for method in ("majority", "weighted", "dawid_skene"):
        found = held(arbitrate(votes, method), votes, truth)  # type: ignore[arg-type]
        one = found.right
        print(
            f"| {method} | {one.value:.3f} | {one.low:.3f} - {one.high:.3f} | {found.gained} | {found.lost} | {found.p:.2g} |"
        )


def main() -> None:
    """All tables."""
    asked = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    asked.add_argument("--items", type=int, default=50_000)
    asked.add_argument("--runs", type=int, default=3)
    given = asked.parse_args()
    ratings(given.runs)
    generated(given.items, given.runs)
    real()


if __name__ == "__main__":
    main()
