"""Evidence, files and runs of written texts, language models and preferences."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tunewright.core.errors import DataError, RunDamaged
from tunewright.core.outcomes import Likelihoods, Margins, Texts
from tunewright.evaluation import (
    Contender,
    Plan,
    compare,
    compare_runs,
    gather,
    read,
    read_all,
    recompute,
    write,
    write_evidence,
)
from tunewright.evaluation.compare import corrected, take
from tunewright.evaluation.shapes.margins import histogram
from tunewright.metrics import TASKS, task_of

WORDS = ("a", "small", "dog", "runs", "over", "the", "green", "field", "and", "barks", "at", "birds", ".")
NAMES = ("chat", "seq2seq", "language_modeling", "preference", "reward")
every_task = pytest.mark.parametrize("task", NAMES)
NAN = float("nan")


def written(task: str, name: str, n: int, skill: float, seed: int, nll: bool = True) -> Texts:
    rng, same = np.random.default_rng([seed, n]), np.random.default_rng(99)
    gold = [list(same.choice(WORDS, same.integers(5, 15))) for _ in range(n)]
    output = [[w if rng.random() < skill else str(rng.choice(WORDS)) for w in words] for words in gold]
    tokens = np.array([len(words) for words in gold]) if nll else np.zeros(n, int)
    nats = tokens * np.exp(rng.normal(1.5 - skill, 0.3, n)) if nll else np.full(n, NAN)
    ids = tuple(f"id{i}" for i in range(n))
    sides = (tuple(map(" ".join, side)) for side in (gold, output))
    return Texts(name, "test", (), ids, *sides, nats, tokens, np.full(n, 0.01), np.arange(n) % 7 == 0, task)


def predicted(name: str, n: int, skill: float, seed: int, tokens: bool = True) -> Likelihoods:
    rng, same = np.random.default_rng([seed, n]), np.random.default_rng(99)
    size = same.integers(40, 400, n)
    nll = size * np.exp(rng.normal(0.5 - skill, 0.2, n))
    units = size // 4 if tokens else np.zeros(n, int)
    return Likelihoods(name, "test", (), tuple(f"id{i}" for i in range(n)), nll, units, size, np.full(n, 0.01))


def rewarded(task: str, name: str, n: int, skill: float, seed: int) -> Margins:
    rng = np.random.default_rng([seed, n])
    chosen, rejected = rng.normal(3 * skill, 1, n), rng.normal(0, 1, n)
    chosen[:3], rejected[3:5] = NAN, NAN
    ids = tuple(f"id{i}" for i in range(n))
    return Margins(name, "test", (), ids, chosen, rejected, np.full(n, 0.01), task)


def made(task: str, name: str, n: int, skill: float, seed: int, plain: bool = False) -> Any:
    if task in ("chat", "seq2seq"):
        return written(task, name, n, skill, seed, nll=not plain)
    if task == "language_modeling":
        return predicted(name, n, skill, seed, tokens=not plain)
    return rewarded(task, name, n, skill, seed)


def ladder(task: str, n: int = 120) -> list[Contender]:
    trivial = {"language_modeling": "unigram", "preference": "length", "reward": "length"}.get(task, "copy")
    return [
        Contender(made(task, "tuned", n, 0.8, 1), "Tuned model", "tuned"),
        Contender(made(task, trivial, n, 0.05, 2, plain=True), "Trivial"),
        Contender(made(task, "untuned", n, 0.4, 3), "Base model, untuned"),
    ]


def _finite(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_finite, value.values()))
    if isinstance(value, list):
        return all(map(_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


@every_task
def test_structure_is_the_contracts(task: str) -> None:
    evidence = gather(ladder(task), resamples=200)
    assert (
        evidence["task"] == task and evidence["version"] == 1 and evidence["items"] == 120 and evidence["labels"] == []
    )
    own = {"samples", "signatures"} if task in ("chat", "seq2seq") else set()
    assert set(evidence) == own | {
        "version", "task", "split", "items", "labels", "confidence", "resamples", "seed", "contenders",
        "comparisons", "verdict", "mistakes", "flips", "not_tested",
    }  # fmt: skip
    detail = {"chat": {"lengths"}, "seq2seq": {"lengths"}, "language_modeling": {"tokens", "bytes"}}.get(
        task, {"rewards", "histogram"}
    )
    for c in evidence["contenders"]:
        assert set(c) == detail | {
            "name", "title", "role", "metrics", "per_class", "confusion", "calibration", "seconds_per_item",
        }  # fmt: skip
        assert list(c["metrics"]) == list(TASKS[task].order)
        for name, metric in c["metrics"].items():
            assert metric["value"] is None or metric["low"] <= metric["value"] <= metric["high"], name
    verdict = evidence["verdict"]
    assert (verdict["outcome"], verdict["against"], verdict["metric"]) == ("better", "untuned", TASKS[task].primary)
    compared = {c["metric"]: c["test"].split()[0] for c in evidence["comparisons"]}
    assert list(compared) == [TASKS[task].primary, *TASKS[task].also]
    binary = {"exact_match"} | ({"accuracy"} if task in ("preference", "reward") else set())
    assert all((test == "McNemar") == (name in binary) for name, test in compared.items())
    assert _finite(evidence)
    json.dumps(evidence, allow_nan=False)
    assert (evidence["flips"] is None) == (task not in ("preference", "reward"))


def test_lower_is_better_is_the_right_way_round() -> None:
    for task in ("chat", "language_modeling"):
        contenders = ladder(task)
        said = gather(contenders, resamples=200)["verdict"]
        assert said["outcome"] == "better" and said["effect"] < 0 and said["low"] <= said["effect"] <= said["high"] < 0
        word = {"chat": " nats of loss per token against ", "language_modeling": " bits per byte against "}[task]
        assert "Tuned model is better than Base model, untuned:" in said["sentence"]
        assert word in said["sentence"] and ", lower by " in said["sentence"]
        turned = [
            replace(contenders[0], predictions=replace(contenders[2].predictions, contender="tuned")),  # type: ignore[type-var]
            replace(contenders[2], predictions=replace(contenders[0].predictions, contender="untuned")),  # type: ignore[type-var]
        ]
        worse = gather(turned, resamples=200)["verdict"]
        assert worse["outcome"] == "worse" and worse["effect"] == pytest.approx(-said["effect"])
        assert ", higher by " in worse["sentence"]


def test_scales_of_a_hundred_have_two_decimals() -> None:
    evidence = gather(ladder("seq2seq"), resamples=200)
    value = evidence["contenders"][0]["metrics"]["chrf"]["value"]
    assert (
        f"Tuned model is better than Base model, untuned: {value:.2f} chrF against " in evidence["verdict"]["sentence"]
    )


def test_a_copy_has_no_loss_and_says_so() -> None:
    contenders = ladder("chat")
    evidence = gather(contenders, resamples=100)
    copy = evidence["contenders"][1]["metrics"]
    assert copy["loss"] == {"value": None, "reason": "it gives no likelihood of the gold texts"}
    assert copy["rougeL"]["value"] > 0
    assert {c["against"] for c in evidence["comparisons"] if c["metric"] == "loss"} == {"untuned"}
    assert {c["against"] for c in evidence["comparisons"] if c["metric"] == "chrf"} == {"copy", "untuned"}
    alone = gather(contenders[:2], resamples=100)["verdict"]
    assert alone["outcome"] == "can't tell" and alone["against"] is None
    assert (
        "no baseline can be held against it by nats of loss per token (copy: it gives no likelihood"
        in alone["sentence"]
    )


def test_other_tokens_are_another_unit() -> None:
    contenders = ladder("chat")
    p: Any = contenders[2].predictions
    other = [contenders[0], replace(contenders[2], predictions=replace(p, tokens=p.tokens + 1))]
    said = gather(other, resamples=100)["verdict"]
    assert said["outcome"] == "can't tell" and "cut the texts into other tokens" in said["sentence"]
    assert gather(other, resamples=100, metric="rougeL")["verdict"]["outcome"] == "better"
    weak = Contender(made("chat", "weak", 120, 0.2, 4), "Weak")
    assert gather([*other, weak], resamples=100)["verdict"]["against"] == "weak", "the strongest that can be compared"
    documents = gather(ladder("language_modeling"), resamples=100)
    assert {c["against"] for c in documents["comparisons"] if c["metric"] == "perplexity"} == {"untuned"}
    assert documents["contenders"][1]["metrics"]["perplexity"]["value"] is None
    assert {c["against"] for c in documents["comparisons"] if c["metric"] == "bits_per_byte"} == {"unigram", "untuned"}


def test_a_ratio_of_lengths_is_shown_but_not_compared() -> None:
    evidence = gather(ladder("chat"), resamples=50, also=("length_ratio",))
    assert "length_ratio" not in {c["metric"] for c in evidence["comparisons"]}
    said = gather(ladder("chat"), resamples=50, metric="length_ratio")["verdict"]
    assert said["outcome"] == "can't tell" and "neither more nor less length ratio is better" in said["sentence"]


def test_figures_of_texts() -> None:
    contenders = ladder("chat")
    p: Any = contenders[0].predictions
    p = replace(p, output=("", *p.output[1:]))
    contenders[0] = replace(contenders[0], predictions=p)
    evidence = gather(contenders, resamples=50)
    lengths = [len(text) for text in p.output]
    assert evidence["contenders"][0]["lengths"] == {
        "mean": pytest.approx(np.mean(lengths)), "median": np.median(lengths), "empty": 1, "truncated": 18,
    }  # fmt: skip
    samples = evidence["samples"]
    assert len(samples) == 12 and {len(s["outputs"]) for s in samples} == {3}
    place = {item: i for i, item in enumerate(p.ids)}
    for sample in samples:
        i = place[sample["id"]]
        assert sample["gold"] == p.gold[i] and sample["outputs"]["tuned"] == p.output[i]
    assert [s["id"] for s in gather(contenders[:2], resamples=50)["samples"]] == [s["id"] for s in samples]
    assert len(gather([Contender(take(p, p.ids[:5]), "t", "tuned")], resamples=50)["samples"]) == 5
    mistakes = evidence["mistakes"]
    assert mistakes[0] == {"id": "id0", "gold": p.gold[0], "output": "", "score": 0.0} and len(mistakes) == 30
    assert [m["score"] for m in mistakes] == sorted(m["score"] for m in mistakes)
    chrf = gather(ladder("seq2seq"), resamples=50)["mistakes"]
    assert chrf[0]["score"] == min(m["score"] for m in chrf) > 1
    assert "tok:13a" in evidence["signatures"]["bleu"] and evidence["signatures"]["chrf"].startswith("nrefs:1")
    assert any("cut off at the longest length" in said for said in evidence["not_tested"])
    assert any("a wrong reply counts" in said and "gold replies" in said for said in evidence["not_tested"])


def test_figures_of_documents() -> None:
    contenders = ladder("language_modeling", n=20)
    p: Any = contenders[0].predictions
    evidence = gather(contenders, resamples=50)
    row = evidence["contenders"][0]
    assert (row["tokens"], row["bytes"]) == (int(p.tokens.sum()), int(p.bytes.sum()))
    assert evidence["mistakes"][0]["bits_per_byte"] == pytest.approx((p.nll / math.log(2) / p.bytes).max())
    assert len(evidence["mistakes"]) == 20
    assert any("with 20 of them" in said for said in evidence["not_tested"])
    assert not any("gold" in said for said in evidence["not_tested"])


def test_figures_of_rewards() -> None:
    contenders = ladder("preference")
    p: Any = contenders[0].predictions
    evidence = gather(contenders, resamples=50)
    row, margin = evidence["contenders"][0], p.margin()
    assert row["rewards"]["chosen"] == {
        "mean": pytest.approx(np.nanmean(p.chosen)), "sd": pytest.approx(np.nanstd(p.chosen)),
    }  # fmt: skip
    assert sum(row["histogram"]["counts"]) == 120 and 0.0 in row["histogram"]["edges"]
    assert [m["margin"] for m in evidence["mistakes"]] == pytest.approx(sorted(margin[margin <= 0])[:30])
    flips, other = evidence["flips"], contenders[2].predictions
    assert flips["against"] == "untuned"
    assert flips["gained_total"] == int(((margin > 0) & (other.margin() <= 0)).sum())  # type: ignore[attr-defined]
    for one in [*flips["gained"], *flips["lost"]]:
        assert one["gold"] == ("rejected" if one["id"] in ("id0", "id1", "id2") else "chosen")
        assert {one["from"], one["to"]} == {"chosen", "rejected"}
    assert all(one["to"] == one["gold"] for one in flips["gained"])
    tied = replace(p, chosen=p.chosen * 0, rejected=p.rejected * 0)
    undecided = gather([replace(contenders[0], predictions=tied), *contenders[1:]], resamples=50)
    assert undecided["contenders"][0]["metrics"]["accuracy"]["value"] == 0.5
    assert any("120 items on which tuned prefers neither" in said for said in undecided["not_tested"])
    assert {c["test"] for c in undecided["comparisons"]} == {"paired bootstrap"}, "half right is no yes or no"


@pytest.mark.parametrize("margins", [[], [0.0, 0.0], [3.0], [-1.0, 2.0, 2.0], [-5.0, -1e-9], [1e-12, 4.0]])
def test_histograms_count_every_margin_and_part_at_zero(margins: list[float]) -> None:
    found = histogram(np.array(margins))
    assert sum(found["counts"]) == len(margins) and len(found["edges"]) == len(found["counts"]) + 1
    assert 0.0 in [round(edge, 12) for edge in found["edges"]] and len(found["counts"]) <= 22
    assert found["edges"] == sorted(set(found["edges"]))


@every_task
def test_same_predictions_same_evidence_whatever_the_order_of_items(task: str) -> None:
    contenders = ladder(task)
    once = gather(contenders, resamples=60)
    second = contenders[1].predictions
    order = [second.ids[i] for i in np.random.default_rng(0).permutation(120)]
    mixed = [contenders[0], replace(contenders[1], predictions=take(second, order)), contenders[2]]
    assert gather(mixed, resamples=60) == once


@every_task
def test_predictions_survive_the_disk_exactly(task: str, tmp_path: Path) -> None:
    contenders = ladder(task, n=40)
    if task == "chat":
        p: Any = contenders[0].predictions
        gold = (None, "line\nbreak ", "", *p.gold[3:])
        contenders = [replace(c, predictions=replace(c.predictions, gold=gold)) for c in contenders]  # type: ignore[type-var]
    for c in contenders:
        before, after = c.predictions, read(write(tmp_path, c)).predictions
        assert task_of(after).name == task == task_of(before).name
        assert repr(after) == repr(before)
        for name in ("nll", "tokens", "bytes", "chosen", "rejected", "seconds"):
            if hasattr(before, name):
                assert np.array_equal(getattr(before, name), getattr(after, name), equal_nan=True), name
    lines = (tmp_path / "predictions" / "tuned.test.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[0])["task"] == task and json.loads(lines[0])["labels"] == []
    keys = {
        "language_modeling": {"nll", "tokens", "bytes"}, "preference": {"chosen", "rejected"}, "reward": {"chosen", "rejected"},
    }.get(task, {"gold", "output", "nll", "tokens", "truncated"})  # fmt: skip
    assert set(json.loads(lines[1])) == keys | {"id", "seconds"}
    evidence = gather(contenders, resamples=60)
    write_evidence(tmp_path, evidence)
    assert recompute(tmp_path) == evidence


@pytest.mark.parametrize(
    ("task", "bad"),
    [
        ("chat", [{"gold": 3}, {"output": None}, {"nll": "low"}, {"nll": NAN}, {"tokens": 1.5}, {"tokens": -1}]),
        ("language_modeling", [{"nll": None}, {"tokens": None}, {"bytes": True}, {"bytes": -3}]),
        ("preference", [{"chosen": "yes"}, {"rejected": float("inf")}, {"chosen": None, "rejected": None}]),
    ],
)
def test_damaged_lines_are_named(task: str, bad: list[dict[str, Any]], tmp_path: Path) -> None:
    path = write(tmp_path, ladder(task, n=9)[0])
    lines = path.read_text(encoding="utf-8").splitlines()
    row = json.loads(lines[6])
    broken = [json.dumps(row | one | {"id": f"x{i}"}) for i, one in enumerate(bad)]
    path.write_text("\n".join([lines[0], *broken]), encoding="utf-8")
    with pytest.raises(RunDamaged) as caught:
        read_all(tmp_path)
    assert [p.where for p in caught.value.problems] == [f"tuned.test.jsonl, line {i + 2}" for i in range(len(bad))]


def test_only_some_tasks_go_without_labels(tmp_path: Path) -> None:
    path = write(tmp_path, ladder("chat", n=9)[0])
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text(
        "\n".join([json.dumps(json.loads(lines[0]) | {"task": "regression"}), *lines[1:]]), encoding="utf-8"
    )
    with pytest.raises(RunDamaged, match="labels"):
        read(path)


def test_tasks_of_one_shape_do_not_mix() -> None:
    chat, translation = ladder("chat")[0], ladder("seq2seq")[2]
    with pytest.raises(DataError, match="predictions of seq2seq in place of chat"):
        gather([chat, translation])


@every_task
def test_runs_are_compared_on_their_common_items(task: str, tmp_path: Path) -> None:
    old, new = made(task, "tuned", 120, 0.3, 5), made(task, "tuned", 120, 0.8, 6)
    write(tmp_path / "old", Contender(take(old, old.ids[20:]), "Old", "tuned"))
    write(tmp_path / "new", Contender(new, "New", "tuned"))
    evidence = compare_runs(tmp_path / "old", tmp_path / "new", resamples=100)
    assert evidence["items"] == 100 and evidence["left_out"] == {"old": 0, "new": 20}
    assert evidence["verdict"]["outcome"] == "better" and evidence["task"] == task
    if task == "language_modeling":
        write(tmp_path / "other", Contender(replace(new, bytes=new.bytes + 1), "Other", "tuned"))
        with pytest.raises(DataError, match="common items have another gold size"):
            compare_runs(tmp_path / "new", tmp_path / "other")


@pytest.mark.parametrize(
    ("task", "metric"),
    [
        ("chat", "rougeL"),
        ("chat", "bleu"),
        ("chat", "loss"),
        ("language_modeling", "bits_per_byte"),
        ("reward", "accuracy"),
    ],
)
def test_false_verdicts_are_as_rare_as_promised(task: str, metric: str) -> None:
    """Two contenders of one skill: about one in twenty comparisons may claim a difference."""
    rounds, claims, covered = 200, 0, 0
    for seed in range(rounds):
        a, b = (made(task, f"{side}", 60, 0.5, 2 * seed + side + 1000) for side in (0, 1))
        found = compare(metric, a, b, Plan(resamples=200))
        assert found is not None and found.interval.low is not None and found.interval.high is not None
        claims += corrected([found])[0].outcome(0.05) != "can't tell"
        covered += found.interval.low <= 0 <= found.interval.high
    assert 0.01 < claims / rounds < 0.1
    assert 0.9 < covered / rounds < 0.99


@pytest.mark.parametrize("make", [lambda: written("chat", "tuned", 1, 1, 0), lambda: predicted("tuned", 1, 1, 0)])
def test_one_item_is_no_test(make: Callable[[], Any]) -> None:
    one = make()
    said = gather([Contender(one, "t", "tuned"), Contender(replace(one, contender="b"), "b")], resamples=50)
    assert said["verdict"]["outcome"] == "can't tell" and "there is one item only" in said["verdict"]["sentence"]


def test_many_items_take_seconds() -> None:
    started = time.process_time()
    gather(ladder("seq2seq", n=2000))
    assert time.process_time() - started < 40


def test_the_most_frequent_text_can_be_the_strongest_baseline() -> None:
    contenders = ladder("seq2seq")
    best = replace(contenders[0].predictions, contender="majority", output=contenders[0].predictions.gold)
    evidence = gather([*contenders, Contender(best, "Most frequent target")], metric="chrf", resamples=100)
    assert evidence["verdict"]["against"] == "majority"


def test_a_variant_is_compared_and_no_verdict_is_about_it() -> None:
    contenders = ladder("seq2seq")
    other = replace(contenders[0].predictions, contender="tuned_greedy", output=contenders[0].predictions.gold)
    plain = gather(contenders, metric="chrf", resamples=100)
    evidence = gather([*contenders, Contender(other, "Tuned, greedy", "variant")], metric="chrf", resamples=100)
    assert evidence["verdict"] == plain["verdict"]
    told = {c["metric"] for c in evidence["comparisons"] if c["against"] == "tuned_greedy"}
    assert "chrf" in told and [c["role"] for c in evidence["contenders"]][-1] == "variant"


@pytest.mark.parametrize(("items", "outcome"), [(4, "can't tell"), (5, "can't tell"), (8, "better")])
def test_a_handful_of_items_alike_proves_nothing(items: int, outcome: str) -> None:
    """Four items, all right where the baseline is always undecided: an exact test could not give less than 1/8."""
    ids = tuple(f"i{k}" for k in range(items))
    tuned = Margins("tuned", "test", (), ids, np.full(items, 2.0), np.full(items, 1.0))
    tied = Margins("length", "test", (), ids, np.ones(items), np.ones(items))
    evidence = gather([Contender(tuned, "Tuned", "tuned"), Contender(tied, "The longer reply")], resamples=500)
    (comparison,) = evidence["comparisons"]
    assert evidence["verdict"]["outcome"] == outcome
    assert comparison["p"] == max(2 / 2**items, 2 / 501)
    assert (comparison["low"] <= 0) is (outcome == "can't tell")
