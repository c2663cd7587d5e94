"""The step: children are rows of train like others, the ledger balances, order changes nothing, and operators that do not
pay are off."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from aug_rows import draft, spoken

from tunewright.core.errors import DataError, RecipeError
from tunewright.core.registry import build, dump, members, register
from tunewright.core.seeds import key
from tunewright.data import augmentation
from tunewright.data.augmentation.ablation import _macro_f1, ablate, drawn, refusal
from tunewright.data.augmentation.growing import ROUNDS
from tunewright.data.augmentation.judging import folds, judge_of
from tunewright.data.augmentation.protocol import Ask, Child, Draw, Edits, Kit
from tunewright.data.journal import Draft, Journal
from tunewright.data.rows import Columns
from tunewright.data.steps import Models, Room
from tunewright.data.steps.augment import DESCRIBED, Augment
from tunewright.data.targets import Classes, Numbers, Spans

TOPICS = {
    "food": "tasty pizza salad cook dinner fresh menu kitchen soup bread",
    "cars": "engine wheel drive road brake fuel garage speed gear tyre",
    "寒暄": "",
}
COMMON = [
    "the",
    "we",
    "with",
    "a",
    "very",
    "it",
    "today",
    "some",
    "more",
    "about",
    "movie",
    "really",
    "job",
    "big",
    "start",
]


def sentence(label: str, i: int) -> str:
    rng = random.Random(f"{label} {i}")
    words = [*rng.sample(TOPICS[label].split(), 3), *rng.sample(COMMON, 4)]
    rng.shuffle(words)
    return " ".join(words) + rng.choice([".", "!", " 7", ""])


def rows(food: int = 40, cars: int = 40) -> list[Draft]:
    return [
        draft(sentence(label, i), label, line=i + 1) for label, n in (("food", food), ("cars", cars)) for i in range(n)
    ]


def room(held: Any = (), target: Any = None, write: Any = None, **models: Any) -> Room:
    target = target or Classes(Columns("text", "label"))
    return Room(Journal(), target, 0, models=Models(write=write, **models), held=held)


PLAIN = Augment(ablate=False, gates=("same", "leaked", "length", "protected"))


def test_children_are_rows_of_train_with_their_parents() -> None:
    given, place = rows(), room()
    given[0].soft, given[0].weight, given[0].cluster, given[0].group = (("food", 0.8), ("cars", 0.2)), 2.0, "c1", "g1"
    left = replace(PLAIN, weight=0.5)(list(given), place)
    assert left[: len(given)] == given, "the rows themselves are as they were"
    by_id = {row.id: row for row in given}
    assert len(left) > 2 * len(given) and len({row.id for row in left}) == len(left)
    for child in left[len(given) :]:
        parent = by_id[child.parents[0]]
        assert child.label == parent.label and child.split == "train" and child.source == parent.source
        assert child.flags[0] == "augmented" and child.flags[1] in members("operator")
        assert child.soft == parent.soft and child.weight == 0.5 * parent.weight and child.group == parent.group
        assert child.cluster == (parent.cluster or parent.id)
        assert child.id == draft(child.text).id and child.key == draft(child.text).key
    stage = place.journal.ledger.stages[-1]
    assert stage.name == "augment" and stage.balances and stage.added == stage.left - stage.entered + stage.dropped
    found = place.found["augment"]
    assert json.loads(json.dumps(found)) == found
    assert found["added"] == len(left) - len(given) == sum(one["kept"] for one in found["yields"].values())
    for one in found["yields"].values():
        assert one["asked"] == one["unchanged"] + one["kept"] + sum(one["rejected"].values()) == len(given)
    assert stage.dropped == sum(sum(one["rejected"].values()) for one in found["yields"].values())


def test_order_changes_nothing() -> None:
    given = rows()
    mixed = random.Random(1).sample(given, len(given))
    step = Augment(ablate=False)
    first, again = step(list(given), room())[len(given) :], step(mixed, room())[len(given) :]
    assert [row.record() for row in first] == [row.record() for row in again]
    more = step([*given, *[draft(f"{sentence('food', 900 + i)} extra", "food") for i in range(3)]], room())
    grown = {(row.parents, row.text) for row in more}
    share = sum((row.parents, row.text) in grown for row in first) / len(first)
    assert share > 0.8, "rows that are added leave most children as they were (the probe and insertions see them)"


def test_rejected_children_are_in_the_ledger_by_gate() -> None:
    given = rows()
    first = PLAIN(list(given), room())[len(given) :]
    place = room(held=[replace_split(row) for row in first[:20]])
    left = PLAIN(list(given), place)
    leaked = [e for e in place.journal.ledger.events if e.reason == "augment_leaked"]
    assert len(leaked) >= 20 and all(e.outcome == "dropped" and e.detail for e in leaked)
    keys = {row.key for row in first[:20]}
    assert not keys & {row.key for row in left}
    assert place.journal.ledger.stages[-1].reasons["augment_leaked"] == len(leaked)
    assert all(code.startswith("augment_") for code in DESCRIBED)


def replace_split(row: Draft) -> Draft:
    return replace(row, split="test")


def test_quotas_fill_labels() -> None:
    given = rows(40, 15)
    place = room()
    left = replace(PLAIN, quotas="balance")(list(given), place)
    assert Counter(row.label for row in left) == {"food": 40, "cars": 40}
    assert place.found["augment"]["quotas"] == {"cars": 25, "food": 0}
    left = replace(PLAIN, quotas={"cars": 7})(list(given), room())
    assert Counter(row.label for row in left) == {"food": 40, "cars": 22}
    scarce = replace(PLAIN, operators=({"structure": {"kinds": ["contraction"]}},), quotas={"cars": 9})
    place = room()
    assert len(build("step", dump(scarce))(list(given), place)) == len(given), "what cannot be made is not made"
    assert place.found["augment"]["yields"]["structure"]["asked"] == ROUNDS * 15


def test_a_quota_is_not_filled_with_the_same_child_twice() -> None:
    given = [*rows(), *(draft(text, "x") for text in ("cat 1", "dog 2", "red 3"))]
    step = Augment(operators=({"typos": {"kinds": ["doubling"]}},), quotas={"x": 17}, ablate=False, gates=("same",))
    left = step(list(given), room())
    assert len({row.key for row in left}) == len(left) <= len(given) + 6


def test_labels_without_rows_can_be_written() -> None:
    given, n = rows(), 0

    def write(prompts: Any) -> list[str]:
        nonlocal n
        n += len(prompts)
        return [f"hello and welcome my friend, number{key(p, i) % 10**6} of many" for i, p in enumerate(prompts)]

    options: dict[str, Any] = {"labels": {"寒暄": "greetings"}, "domain": "chat"}
    step = Augment(operators=({"generate": options},), quotas={"寒暄": 5}, ablate=False)
    left = step(list(given), room(write=write))
    new = left[len(given) :]
    assert [row.label for row in new] == ["寒暄"] * 5 and all(row.parents == () and row.id for row in new)
    assert step.needs == ("write",) and n
    with pytest.raises(DataError, match="no row of train has this label"):
        replace(PLAIN, quotas={"nothing": 5})(list(given), room())


def test_a_language_model_s_operators_go_through_the_step() -> None:
    given = rows(20, 20)
    operators = ("paraphrase", {"back_translation": {"through": ["German"]}}, "generate")
    place = room(write=spoken)
    left = Augment(operators=operators, ablate=False, gates=("same", "leaked"))(list(given), place)
    flags = Counter(row.flags[1] for row in left[len(given) :])
    assert set(flags) == {"paraphrase", "back_translation", "generate"}
    assert place.journal.ledger.stages[-1].balances


@pytest.mark.parametrize("target", [Spans(Columns("text", "label")), Classes(Columns("text", "label"))])
def test_texts_that_are_no_plain_texts_are_refused(target: Any) -> None:
    if target.task == "classification":
        PLAIN(rows(), room(target=target))
        return
    with pytest.raises(DataError, match="token_classification"):
        PLAIN(rows(), room(target=target))


def test_a_regression_s_rows_keep_their_numbers_and_cannot_be_tried() -> None:
    given = [replace(row, label=str(i / 10)) for i, row in enumerate(rows())]
    target = Numbers(Columns("text", "label"))
    left = Augment(ablate=False)(list(given), room(target=target))
    assert len(left) > len(given)
    place = room(target=target)
    assert Augment()(list(given), place) == given
    assert "classes" in place.found["augment"]["ablation"]["refused"] and len(place.found["augment"]["off"]) == 5


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"operators": []}, "at least one operator"),
        ({"operators": ["synonym"]}, "did you mean 'synonyms'"),
        ({"gates": ["lenght"]}, "did you mean 'length'"),
        ({"operators": ["swop"], "gates": [{"length": {"low": 2}}]}, "augment.gates[0].length.low"),
        ({"copies": 0}, "copies"),
        ({"quotas": {"a": -1}}, "quotas"),
        ({"weight": 0}, "weight"),
    ],
)
def test_wrong_options_are_refused_together(options: Any, words: str) -> None:
    with pytest.raises(RecipeError) as error:
        build("step", {"augment": options})
    assert words in str(error.value)


def test_it_is_a_value_that_can_be_written_and_read() -> None:
    step = build("step", {"augment": ["typos", {"synonyms": 0.3}]})
    assert step.operators == (augmentation.Typos(), augmentation.Synonyms(0.3))
    written = json.loads(json.dumps(dump(step)))
    assert build("step", written) == step and dump(build("step", written)) == dump(step)
    assert step.phase == "train" and step.needs == ()
    assert build("step", {"augment": {"gates": ["similar", "perplexity"]}}).needs == ("encode", "perplexity")


# The trial.


@register("operator", "oracle")
@dataclass(frozen=True)
class Oracle(Edits):
    """Puts in a word of the row's own topic: what a probe of few rows lacks. `wrong` takes another topic's."""

    wrong: bool = False

    def edit(self, text: str, draw: Draw, kit: Kit, label: str) -> str | None:
        topic = label if not self.wrong else ("cars" if label == "food" else "food")
        words = TOPICS[topic].split()
        return " ".join([text, *(words[draw.below(len(words), n)] for n in range(6))])


@pytest.fixture(autouse=True, scope="module")
def _forget() -> Any:
    yield
    from tunewright.core import registry

    registry._families["operator"].pop("oracle")


def hard(n: int = 120) -> list[Draft]:
    """Rows with one word of their topic among common ones."""
    found = []
    for i in range(n):
        rng, label = random.Random(i), ("food", "cars")[i % 2]
        words = [*rng.sample(COMMON, 6), rng.choice(TOPICS[label].split()), f"w{i}"]
        rng.shuffle(words)
        found.append(draft(" ".join(words), label, line=i + 1))
    return found


def test_an_operator_that_pays_is_on_and_others_are_off() -> None:
    given, place = hard(), room()
    step = Augment(operators=("oracle", {"oracle": {"wrong": True}}, "swap"), gates=("same",))
    left = step(list(given), place)
    found = place.found["augment"]
    worth = found["ablation"]["operators"]
    assert found["used"] == ["oracle"] and found["off"] == ["oracle-2", "swap"]
    assert worth["oracle"]["macro_f1"]["low"] > 0 > worth["oracle-2"]["macro_f1"]["high"]
    assert {row.flags[1] for row in left[len(given) :]} == {"oracle"}
    assert found["ablation"]["level"] == pytest.approx(1 - 0.05 / 3)
    assert worth["oracle"]["children"] == pytest.approx(len(given) * 0.8)
    anyway = room()
    replace(step, keep_anyway=True)(list(given), anyway)
    assert anyway.found["augment"]["off"] == [] and anyway.found["augment"]["ablation"] == found["ablation"]


def test_the_gate_of_the_probe_keeps_wrong_children_out_of_the_trial() -> None:
    given = rows()
    with_gate, without = room(), room()
    for gates, place in ((("same", "probe"), with_gate), (("same",), without)):
        Augment(operators=({"oracle": {"wrong": True}},), gates=gates)(list(given), place)
    kept = [place.found["augment"]["ablation"]["operators"]["oracle"] for place in (with_gate, without)]
    assert kept[0]["children"] < kept[1]["children"]
    final = room()
    Augment(operators=({"oracle": {"wrong": True}},), gates=("same", "probe"), ablate=False)(list(given), final)
    assert final.found["augment"]["yields"]["oracle"]["rejected"]["augment_probe"] > 10


def test_children_of_the_fold_left_out_are_not_learnt_from() -> None:
    """Children that give away their parents' labels by a word of their own: worthless, unless the trial leaks."""
    given = [draft(f"thing{i} some words", ("food", "cars")[key(i) % 2]) for i in range(100)]
    children = [Child(Ask(row.label or "", 0, row), "it", "edit", f"{row.text} more") for row in given]
    worth = ablate(given, {"it": children}, 0, None).worth["it"]
    assert worth.accuracy.mean < 0.1
    stolen = [
        replace(c, ask=replace(c.ask, row=given[(i + 1) % 100]), text=f"thing{i} some words")
        for i, c in enumerate(children)
    ]
    worth = ablate(given, {"it": stolen}, 0, None).worth["it"]
    assert worth.accuracy.mean < 0.1, "a child that is a row of the fold left out was learnt from"


def test_a_plain_repetition_is_worth_nothing() -> None:
    """Without shared weights it would weaken the penalty, and every operator would seem to gain or lose by that."""
    given = hard()
    children = [Child(Ask(row.label or "", 0, row), "it", "edit", f"{row.text} !!") for row in given]
    worth = ablate(given, {"it": children}, 0, None).worth["it"]
    assert worth.accuracy.low == worth.accuracy.high == 0.0


def test_what_cannot_be_said_is_refused() -> None:
    assert "one class" in refusal([draft("a", "x")])
    assert "50 are needed" in refusal(rows(10, 10))
    assert "fewer than 5 rows of 'cars'" in refusal(rows(60, 3))
    assert refusal(rows()) == "" and len(drawn(rows(), 0)) == 80
    place = room()
    given = rows(10, 10)
    assert Augment()(list(given), place) == given
    assert place.found["augment"]["ablation"]["refused"] and place.found["augment"]["used"] == []
    place = room()
    assert len(Augment(keep_anyway=True)(list(given), place)) > len(given)


def test_macro_f1_equals_scikit_learn_s_and_weights_are_repeats() -> None:
    from sklearn.metrics import f1_score

    rng = np.random.default_rng(0)
    truth, told = rng.integers(0, 3, 50), rng.integers(0, 3, 50)
    assert _macro_f1(np.ones((1, 50)), truth, told, 3)[0] == pytest.approx(f1_score(truth, told, average="macro"))
    weights = rng.integers(0, 4, 50)
    again = f1_score(np.repeat(truth, weights), np.repeat(told, weights), average="macro")
    assert _macro_f1(weights[None].astype(float), truth, told, 3)[0] == pytest.approx(again)


def test_folds_are_even_within_a_label_and_know_no_order() -> None:
    given = rows(41, 23)
    found = folds(given, 0, "x")
    for label in ("food", "cars"):
        counts = Counter(f for f, row in zip(found.tolist(), given, strict=True) if row.label == label)
        assert max(counts.values()) - min(counts.values()) <= 1
    mixed = random.Random(0).sample(range(len(given)), len(given))
    assert folds([given[i] for i in mixed], 0, "x").tolist() == found[mixed].tolist()


def test_the_judge_has_not_seen_the_parent() -> None:
    given = [draft(f"thing{i} some words", ("food", "cars")[key(i) % 2]) for i in range(60)]
    judge, classes = judge_of(given, 0)
    own, parents = judge([Child(Ask(row.label or "", 0, row), "it", "edit", f"{row.text} more") for row in given])
    right = [classes[p.argmax()] == row.label for p, row in zip(parents, given, strict=True)]
    assert own.shape == parents.shape == (60, 2) and sum(right) < 45, (
        "a probe that knew the parent would be right of all"
    )
