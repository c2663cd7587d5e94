"""Balance: counts and figures of slices, and plans that make cells alike without touching a row."""

from __future__ import annotations

import copy
import csv
import math
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tunewright.objectives
import tunewright.samplers
from tunewright.core.effective import effective_number, effective_weights
from tunewright.core.errors import DataError
from tunewright.core.records import Source
from tunewright.core.registry import build
from tunewright.core.tensors import Facts
from tunewright.data.balance import SLICES, balances, plan
from tunewright.data.journal import Draft
from tunewright.data.steps import augment as augment_step
from tunewright.objectives.class_weights import resolve

assert tunewright.objectives and tunewright.samplers and augment_step


def draft(text: str, label: str | None, group: str | None = None) -> Draft:
    return Draft(text, label, None, Source("a.csv", 2), None, group=group)


def some() -> list[Draft]:
    out = [draft(f"plain words {i}", "a", "x") for i in range(60)]
    out += [draft(f"中文的句子 {i}", "a") for i in range(20)]
    return (
        out
        + [draft("more " * 20, "b", "x") for _ in range(10)]
        + [draft(f"又一个中文的句子 {i}", "b") for i in range(10)]
    )


def test_slices_of_texts() -> None:
    texts = {"两个字": ("zh", "0-8"), "ひらがなです": ("ja", "0-8"), "한국어": ("ko", "0-8"), "two " * 9: ("und", "9-16"),
             "?!": ("und", "0-8"), "this is the one that was": ("en", "0-8"), "this is " * 150: ("en", "257+")}  # fmt: skip
    for text, (language, length) in texts.items():
        assert (SLICES["language"]([draft(text, "a")]), SLICES["length"]([draft(text, "a")])) == ([language], [length])
    assert SLICES["group"]([draft("x", None)]) == SLICES["label"]([draft("x", None)]) == ["(none)"]


def test_counts_and_figures() -> None:
    label, language = balances(some(), ["label", "language"])
    assert label.counts == {"a": 80, "b": 20}
    assert language.counts["zh"] == 30 and language.rows == 100
    assert label.ratio == 4
    assert label.entropy == pytest.approx(-(0.8 * math.log(0.8) + 0.2 * math.log(0.2)) / math.log(2))
    said = label.as_json()
    assert said["cells"][0]["low"] < 0.8 < said["cells"][0]["high"]
    assert said["cells"][1]["effective"] == pytest.approx(sum(0.999**i for i in range(20)), abs=0.01)
    assert balances(some()[:60], ["label"])[0].entropy is None


def weights_of(made: dict[str, Any], rows: list[Draft]) -> list[float]:
    table = {tuple(one["cell"].values()): one["weight"] for one in made["cells"]}
    return [table[tuple(SLICES[name]([row])[0] for name in made["by"])] for row in rows]


@pytest.mark.parametrize("by", [("label",), ("label", "language")])
@pytest.mark.parametrize("kind", ["sampler", "loss"])
def test_weights_make_cells_alike_and_have_mean_one(kind: Any, by: tuple[str, ...]) -> None:
    rows = some()
    before = copy.deepcopy(rows)
    made = plan(rows, kind, by)
    weights = weights_of(made, rows)
    sums: dict[Any, float] = defaultdict(float)
    for row, weight in zip(rows, weights, strict=True):
        sums[tuple(SLICES[name]([row])[0] for name in by)] += weight
    assert np.ptp(list(sums.values())) < 1e-9
    assert np.mean(weights) == pytest.approx(1)
    assert rows == before


def test_power_and_effective_numbers_lie_between() -> None:
    rows = some()
    assert set(weights_of(plan(rows, "loss", power=1.0), rows)) == {1.0}
    full, mild = (plan(rows, "loss", effective=e)["cells"][1]["weight"] for e in (False, True))
    assert 1 < mild < full
    assert effective_number(1) == pytest.approx(1)
    assert effective_number(10**6) == pytest.approx(1000)


def test_quotas_bring_every_cell_to_the_largest() -> None:
    made = plan(some(), "quotas")
    assert {one["cell"]["label"]: one["new rows"] for one in made["cells"]} == {"a": 0, "b": 60}
    assert made["recipe"] == {"data": {"steps": [{"augment": {"quotas": {"b": 60}}}]}}


def test_the_lines_for_a_recipe_build_and_mean_the_same() -> None:
    rows = some()
    assert build("sampler", plan(rows, "sampler", power=0.5)["recipe"]["training"]["sampler"]).power == 0.5
    facts = Facts(("a", "b"), (80, 20))
    for effective in (False, True):
        made = plan(rows, "loss", effective=effective)
        objective = build("objective", made["recipe"]["objective"]).prepare(facts)
        assert objective.class_weights == pytest.approx([one["weight"] for one in made["cells"]], abs=1e-5)
    step = plan(rows, "quotas")["recipe"]["data"]["steps"][0]
    assert build("step", step).quotas == {"b": 60}


def test_effective_weights_of_the_loss() -> None:
    got = resolve("effective", Facts(("a", "b", "c"), (1000, 10, 0)))
    assert got is not None
    raw = [(1 - 0.999) / (1 - 0.999**n) for n in (1000, 10)]
    mean = (raw[0] * 1000 + raw[1] * 10) / 1010
    assert got == pytest.approx((raw[0] / mean, raw[1] / mean, raw[1] / mean))
    assert effective_weights([5, 5]) == pytest.approx((1, 1))


def test_what_cannot_be_planned_is_refused() -> None:
    with pytest.raises(DataError, match="languge"):
        balances(some(), ["languge"])
    with pytest.raises(DataError) as caught:
        balances([], ["x"])
    assert len(caught.value.problems) == 2
    with pytest.raises(DataError, match="fewer than 5"):
        plan([*some(), draft("x", "rare")], "loss")
    assert plan([*some(), draft("x", "rare")], "quotas")["cells"][-1]["new rows"] == 79


def test_real_reviews_of_meals(shared: Path) -> None:
    with (shared / "data/waimai/waimai_10k.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = [draft(r["review"], r["label"]) for r in csv.DictReader(file)]
    label, language = balances(rows, ["label", "language"])
    assert label.counts == {"0": 7987, "1": 4000} == dict(Counter(r.label for r in rows))
    assert next(iter(language.counts)) == "zh"
    assert language.counts["zh"] / language.rows > 0.97
