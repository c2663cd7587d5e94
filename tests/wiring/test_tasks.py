"""Tasks: what a label is for the model, what its answers are, and what a recipe may ask of each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tunewright.core.errors import RecipeError
from tunewright.core.outcomes import LabelSets, Values
from tunewright.encoding import Example
from tunewright.models.forward import ModelForward
from tunewright.models.toy import toy_bert
from tunewright.recipe import parse
from tunewright.tasks import TASKS, Bound, labels_of

BASE: dict[str, Any] = {"data": {"train": "rows.csv", "text": "text", "label": "label"}, "model": "toy"}


def example(id_: str, target: Any) -> Example:
    return Example(id_, np.array([2, 5, 3]), target, 3)


def test_numbers_are_scored_around_their_mean_and_answered_in_their_own_unit() -> None:
    rows = ["[1990.0, 0.1]", "[2000.0, 0.3]", "[2010.0, 0.2]"]
    bound = Bound.of("regression", labels_of("regression", ("year", "share"), rows), rows)
    assert bound.labels == ("year", "share") and bound.mean == pytest.approx((2000.0, 0.2))
    assert bound.spread == pytest.approx((np.std([1990, 2000, 2010]), np.std([0.1, 0.2, 0.3])))
    assert bound.target(rows[0]).tolist() == [1990.0, 0.1]  # type: ignore[union-attr]
    model, _ = toy_bert(2)
    plain, scaled = ModelForward(model), ModelForward(model, scale=bound.scale)
    from tunewright.encoding import pack

    batch = pack([example("a", bound.target(rows[0])), example("b", bound.target(rows[1]))])
    with scaled.evaluating():
        raw, found = plain(batch), scaled(batch)
    expected = raw * torch.tensor(bound.spread) + torch.tensor(bound.mean)
    assert torch.allclose(found, expected.float(), atol=1e-4) and float((found[:, 0] - 2000).abs().max()) < 50
    examples = [example("a", bound.target(rows[0])), example("b", None)]
    judged = bound.judged("tuned", "test", examples, np.array([[1995.0, 0.2], [2001.0, 0.1]]), None)
    assert isinstance(judged, Values) and judged.known().tolist() == [True, False]
    assert judged.gold_of(0) == [1990.0, 0.1] and judged.output[0].tolist() == [1995.0, 0.2]


@pytest.mark.parametrize("kind", ["bert", "roberta", "gpt2"])
def test_a_new_head_starts_from_the_labels_frequencies(kind: str) -> None:
    from transformers import AutoConfig, AutoModelForSequenceClassification

    from tunewright.models.heads import start_from

    rows = ['["a"]'] * 9 + ['["a", "b"]', "[]"] * 5
    bound = Bound.of("multilabel", ["a", "b"], rows)
    biases = bound.biases([bound.target(row) for row in rows])  # type: ignore[misc]
    assert biases == pytest.approx((np.log(14.5 / 5.5), np.log(5.5 / 14.5)))
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    small = {"n_embd": 16, "n_layer": 1, "n_head": 2} if kind == "gpt2" else small
    config = AutoConfig.for_model(kind, vocab_size=30, num_labels=2, pad_token_id=1, **small)
    model = AutoModelForSequenceClassification.from_config(config).eval()
    assert start_from(model, biases) is (kind != "gpt2")
    if kind != "gpt2":
        with torch.no_grad():
            p = torch.sigmoid(model(torch.tensor([[2, 5, 3]])).logits[0])
        assert p.tolist() == pytest.approx([14.5 / 20, 5.5 / 20], abs=0.05)
    assert Bound.of("classification", ["a"], ["a"]).biases([0]) is None


def test_a_target_that_never_changes_has_a_spread_of_one() -> None:
    assert Bound.of("regression", ["x"], ["[3.0]", "[3.0]"]).spread == (1.0,)


def test_label_sets_have_thresholds_that_validation_settles() -> None:
    rows = ['["a"]', '["a", "b"]', "[]", '["c"]']
    bound = Bound.of("multilabel", labels_of("multilabel", ("labels",), rows), rows)
    assert bound.labels == ("a", "b", "c") and bound.thresholds == (0.5, 0.5, 0.5)
    assert bound.target(rows[1]).tolist() == [1, 1, 0] and bound.target("[]").tolist() == [0, 0, 0]  # type: ignore[union-attr]
    examples = [example(f"{i}", bound.target(row)) for i, row in enumerate(rows)]
    answers = np.array([[0.3, 0.1, 0.1], [0.4, 0.3, 0.1], [0.1, 0.1, 0.1], [0.1, 0.1, 0.35]])
    settled = bound.settled(examples, answers)
    assert all(0.1 < t <= 0.3 for t in settled.thresholds)
    judged = settled.judged("tuned", "test", [*examples, example("x", None)], np.vstack([answers, answers[:1]]), None)
    assert isinstance(judged, LabelSets) and judged.known().tolist() == [True] * 4 + [False]
    assert (judged.output[:4] == judged.gold[:4]).all()
    assert judged.gold_of(2) == [] and judged.gold_of(4) is None
    assert bound.settled([example("x", None)], answers[:1]) == bound
    facts = bound.facts([bound.target(row) for row in rows])  # type: ignore[misc]
    assert facts.counts == (2, 1, 1)
    assert bound.groups([bound.target(row) for row in rows]) == ["a", "b", "", "c"]  # type: ignore[misc]


@pytest.mark.parametrize("name", ["classification", "multilabel", "regression"])
def test_a_bound_task_is_read_back_from_its_card(name: str) -> None:
    rows = {"classification": ["a", "b"], "multilabel": ['["a"]', '["b"]'], "regression": ["[1.0]", "[2.0]"]}[name]
    bound = Bound.of(name, labels_of(name, ("y",), rows), rows)
    assert Bound.from_card({"labels": list(bound.labels), **bound.card()}) == bound


@pytest.mark.parametrize("name", ["classification", "multilabel", "regression"])
def test_a_recipe_without_objective_and_metrics_gets_the_tasks_own(name: str) -> None:
    recipe, task = parse({**BASE, "task": name}), TASKS[name]
    assert recipe.objective == task.objective and recipe.evaluation.metric == task.metric
    assert recipe.training.stop.metric == task.stop
    again = parse(recipe.dump())
    assert again.dump() == recipe.dump() and again.fingerprint() == recipe.fingerprint()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task": "regression", "objective": "cross_entropy"}, ["cross_entropy is not for regression", "huber, mae, mse"]),
        ({"task": "multilabel", "objective": {"mse": {}}}, ["mse is not for multilabel", "binary_cross_entropy"]),
        ({"objective": "mse"}, ["mse is not for classification", "cross_entropy, custom, focal"]),
        ({"objective": ["r_drop", "mse"]}, ["r_drop around mse is not for classification"]),
        ({"objective": {"r_drop": {"inner": "unlikelihood"}}}, ["r_drop around unlikelihood around cross_entropy is not"]),
        ({"task": "regression", "evaluation": {"metric": "accuracy"}}, ["no metric 'accuracy' for regression"]),
        ({"task": "regression", "training": {"sampler": "balanced"}}, ["balanced, which needs classes"]),
        ({"data": {**BASE["data"], "label": ["a", "b"]}}, ["2 columns", "one for classification"]),
        ({"data": {**BASE["data"], "separator": "|"}}, ["data.separator", "multilabel"]),
        ({"task": "regresion"}, ["task", "regression"]),
    ],
)  # fmt: skip
def test_what_does_not_go_with_a_task_is_explained(changes: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(RecipeError) as error:
        parse({**BASE, **changes})
    assert all(word in str(error.value) for word in words), str(error.value)


def test_objectives_nest_in_a_recipe() -> None:
    recipe = parse(
        {**BASE, "objective": [{"r_drop": {"weight": 2}}, {"confidence_penalty": {}}, {"focal": {"gamma": 1}}]}
    )
    ((outer, options),) = recipe.dump()["objective"].items()
    assert outer == "r_drop" and options["weight"] == 2.0
    assert options["inner"]["confidence_penalty"]["inner"]["focal"]["gamma"] == 1.0
    assert parse(recipe.dump()).fingerprint() == recipe.fingerprint()


def test_one_label_column_is_written_as_a_name_and_several_as_a_list() -> None:
    assert parse(BASE).dump()["data"]["label"] == "label"
    several = parse({**BASE, "task": "regression", "data": {**BASE["data"], "label": ["a", "b"]}})
    assert several.dump()["data"]["label"] == ["a", "b"]
