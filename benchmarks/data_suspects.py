"""Label errors: 5% of the labels flipped at random; average precision of our ranking against cleanlab's, as Markdown.

    python benchmarks/data_suspects.py                       # TF-IDF probe, six sets, ten seeds
    python benchmarks/data_suspects.py --probe both          # with MiniLM's vectors too (English sets)
    python benchmarks/data_suspects.py --sets sst2 --seeds 3

All contenders of a row have the same out-of-sample probabilities, those of our probe's first round; the last two those of
its second. Differences are paired by seed, with Student's interval over seeds. Needs cleanlab and ../shared/data.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import stats
from sklearn.metrics import average_precision_score

from tunewright.core.records import Source, content_id
from tunewright.core.seeds import key, uniform
from tunewright.data.journal import Draft
from tunewright.data.suspects import find, ranked
from tunewright.data.suspects.neighbours import words

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
RATE = 0.05
Rows = tuple[list[str], list[str]]
BASE = "cleanlab: self-confidence, its default"
OURS = "ours, the same probabilities"


def sst2() -> Rows:
    """Phrases of the dev file: two classes, many phrases part of others."""
    lines = (DATA / "sst2/dev.tsv").read_text(encoding="utf-8").split("\n")[1:]
    pairs = [line.rsplit("\t", 1) for line in lines if line]
    return [text.strip() for text, _ in pairs], [label for _, label in pairs]


def banking77() -> Rows:
    """Questions of the train file: 77 classes."""
    texts, labels = ((DATA / "banking77/train" / name).read_text(encoding="utf-8") for name in ("seq.in", "label"))
    return texts.rstrip("\n").split("\n"), labels.rstrip("\n").split("\n")


def trec() -> Rows:
    """Questions: six classes."""
    lines = (DATA / "sentconv/TREC.train.all").read_text(encoding="latin-1").split("\n")
    pairs = [line.split(" ", 1) for line in lines if line]
    return [text for _, text in pairs], [label for label, _ in pairs]


def mr() -> Rows:
    """Sentences of film reviews: two classes."""
    texts, labels = [], []
    for name in ("neg", "pos"):
        own = [x for x in (DATA / f"sentconv/rt-polarity.{name}").read_text(encoding="latin-1").split("\n") if x]
        texts += own
        labels += [name] * len(own)
    return texts, labels


def waimai() -> Rows:
    """Chinese reviews of meals: two classes."""
    with (DATA / "waimai/waimai_10k.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["review"] for row in rows], [row["label"] for row in rows]


def tweets() -> Rows:
    """Tweets: three classes, with many labels that are doubtful as they are."""
    with (DATA / "tweets/tweets.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], [row["sentiment"] for row in rows]


SETS: dict[str, Callable[[], Rows]] = {
    "sst2": sst2, "banking77": banking77, "trec": trec, "mr": mr, "waimai": waimai, "tweets": tweets,
}  # fmt: skip


def flipped(rows: Rows, seed: int) -> tuple[list[Draft], set[str]]:
    """The rows with 5% of the labels made others, and the places of those."""
    texts, labels = rows
    classes = sorted(set(labels))
    chosen = sorted(range(len(texts)), key=lambda i: uniform(seed, "flip", i))[: round(RATE * len(texts))]
    wrong = set(chosen)
    drafts = []
    for i, (text, label) in enumerate(zip(texts, labels, strict=True)):
        if i in wrong:
            others = [name for name in classes if name != label]
            label = others[key(seed, "other", i) % len(others)]
        drafts.append(Draft(text, label, None, Source("rows", i), None, id=f"{content_id(text)}-{i}"))
    return drafts, {drafts[i].id for i in wrong}


def one_seed(rows: Rows, seed: int, probe: str, encode: object) -> tuple[dict[str, float], float]:
    """Average precision of every contender, and the seconds that ours took."""
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    drafts, wrong_ids = flipped(rows, seed)
    began = time.perf_counter()
    found = find(drafts, seed, probe=probe, encode=encode, rounds=2)  # type: ignore[arg-type]
    spent = time.perf_counter() - began
    wrong = np.array([draft.id in wrong_ids for draft in found.drafts])
    given, p, second = found.seen.given, found.opening.probabilities, found.seen.probabilities
    same = ranked(found.opening, features=words([draft.text for draft in found.drafts]))
    quality = get_label_quality_scores(given, p)
    flagged = find_label_issues(given, p)
    scores = {
        BASE: -quality,
        "cleanlab: flagged rows first, by self-confidence": flagged * 2.0 - quality,
        "cleanlab: normalized margin": -get_label_quality_scores(given, p, method="normalized_margin"),
        OURS: same.score,
        "cleanlab's default on our second round": -get_label_quality_scores(given, second),
        "ours, two rounds": found.ranked.score,
    }
    return {name: float(average_precision_score(wrong, score)) for name, score in scores.items()}, spent


def interval(values: list[float]) -> str:
    """The mean with Student's 95% interval."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return f"{mean:.3f}"
    half = float(stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return f"{mean:.3f} [{mean - half:.3f}, {mean + half:.3f}]"


def difference(values: list[float]) -> str:
    """The mean difference in hundredths, with its interval."""
    a = np.array(values) * 100
    if len(a) < 2:
        return f"{a.mean():+.2f}"
    half = float(stats.t.ppf(0.975, len(a) - 1) * a.std(ddof=1) / np.sqrt(len(a)))
    return f"{a.mean():+.2f} [{a.mean() - half:+.2f}, {a.mean() + half:+.2f}]"


def vectors(texts: list[str]) -> Callable[[list[str]], np.ndarray]:
    """MiniLM's vectors of these texts, made once."""
    from tunewright.models.embedding import encoder

    made = dict(zip(texts, encoder("minilm")(texts), strict=True))
    return lambda asked: np.stack([made[text] for text in asked])


def main() -> None:
    """Runs the sets that were asked for and prints a table for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--probe", choices=["tfidf", "encoder", "both"], default="tfidf")
    asked = parser.parse_args()
    for name in asked.sets:
        rows = SETS[name]()
        encode = None if asked.probe == "tfidf" else vectors(rows[0])
        results, seconds = [], []
        for seed in range(asked.seeds):
            figures, spent = one_seed(rows, seed, asked.probe, encode)
            results.append(figures)
            seconds.append(spent)
        print(f"\n{name}, {len(rows[0]):,} rows, {len(set(rows[1]))} classes, probe {asked.probe}, {asked.seeds} seeds; "
              f"two rounds in {np.median(seconds):.1f} s\n")  # fmt: skip
        print("| ranking | average precision | against cleanlab's default, in hundredths |\n| --- | ---: | ---: |")
        for contender in results[0]:
            away = [one[contender] - one[BASE] for one in results]
            mark = "**" if contender.startswith("ours") else ""
            shown = "-" if contender == BASE else difference(away)
            print(
                f"| {mark}{contender}{mark} | {interval([one[contender] for one in results])} | {shown} |", flush=True
            )


if __name__ == "__main__":
    main()
