"""Replies that a model in training draws itself: prompts, candidates, scores, and a model that is left as it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tunewright.core.errors import ModelError, RecipeError
from tunewright.core.sampled import Measure
from tunewright.core.tensors import IGNORED, At, Batch, Decoder, Facts
from tunewright.models.forward import ModelForward
from tunewright.models.own_replies import Entailment, OwnReplies
from tunewright.models.toy import toy_bert, toy_llama, toy_t5
from tunewright.objectives import MinimumRisk

AT = At(3, 10)


def conversation(ids: tuple[str, ...] = ("a", "b")) -> Batch:
    """Two turns of "a" are learnt (10 11, then 20 21 22), one of "b" (30); any of the two, or both."""
    tokens = {"a": [4, 10, 11, 5, 20, 21, 22], "b": [6, 7, 30]}
    asked = {"a": {0: 10, 1: 11, 3: 20, 4: 21, 5: 22}, "b": {1: 30}}
    starts, at = {}, 0
    for i in ids:
        starts[i], at = at, at + len(tokens[i])
    return Batch(
        ids, torch.tensor([t for i in ids for t in tokens[i]]), tuple(len(tokens[i]) for i in ids),
        torch.tensor([t for i in ids for t in asked[i].values()]),
        torch.tensor([starts[i] + p for i in ids for p in asked[i]]), "token", keys=torch.arange(len(ids)),
    )  # fmt: skip


def own(longest: int = 5) -> tuple[OwnReplies, Any]:
    model, tokenizer = toy_llama()
    return OwnReplies(model, tokenizer, (2,), seed=1, longest=longest), model


def test_candidates_go_on_from_what_stands_before_the_last_reply() -> None:
    drawing, _ = own()
    first, second = drawing.draw(conversation(), AT, 3)
    assert len(first) == len(second) == 3
    for candidates, prompt in ((first, [4, 10, 11, 5]), (second, [6, 7])):
        for c in candidates:
            n = len(prompt)
            assert c.tokens[:n].tolist() == prompt and len(c.target) == len(c.tokens)
            assert (c.target[: n - 1] == IGNORED).all() and np.array_equal(c.target[n - 1 : -1], c.tokens[n:])
            assert c.target[-1] in (2, IGNORED)


def test_a_draw_depends_on_the_step_and_the_example_alone() -> None:
    drawing, _ = own()

    def said(drawn: Any) -> list[list[list[int]]]:
        return [[c.tokens.tolist() for c in candidates] for candidates in drawn]

    both = said(drawing.draw(conversation(), AT, 2))
    assert said(drawing.draw(conversation(("b", "a")), AT, 2)) == both[::-1]
    assert said(drawing.draw(conversation(("a",)), AT, 2)) == both[:1]
    assert said(drawing.draw(conversation(), At(4, 10), 2)) != both
    assert both[0][0] != both[0][1]


def test_nothing_is_drawn_for_what_is_not_supervised() -> None:
    given = conversation()
    only = given.owners() == 1
    drawn = own()[0].draw(replace(given, targets=given.targets[only], positions=given.positions[only]), AT, 2)
    assert [len(c) for c in drawn] == [0, 2]


def test_an_encoder_decoders_candidates_have_a_side_of_their_own() -> None:
    model, tokenizer = toy_t5()
    read = Decoder(torch.tensor([0, 9, 0, 8, 7]), (2, 3))
    given = Batch(
        ("a", "b"),
        torch.tensor([5, 6, 7]),
        (2, 1),
        torch.tensor([9, 1, 8, 7, 1]),
        torch.arange(5),
        "token",
        decoder=read,
    )
    drawing = OwnReplies(model, tokenizer, (1,), seed=0, longest=4)
    for candidates, source in zip(drawing.draw(given, AT, 2), ([5, 6], [7]), strict=True):
        for c in candidates:
            assert c.tokens.tolist() == source and c.decoder is not None and c.decoder[0] == 0
            assert np.array_equal(c.target[:-1], c.decoder[1:])


def test_scores_are_the_metrics_between_0_and_1() -> None:
    drawing, _ = own()
    drawing._texts["a"] = ("the source", "the cat sat on the mat")
    for name in ("rougeL", "chrf", "bleu", "exact_match"):
        assert drawing.score(Measure(name), "a", "the cat sat on the mat") == pytest.approx(1.0)
        assert drawing.score(Measure(name), "a", "nothing alike") < 0.35
    assert 0.5 < drawing.score(Measure("rougeL"), "a", "the cat sat down") < 1
    for name in ("loss", "length_ratio", "rogueL"):
        with pytest.raises(RecipeError, match="rougeL"):
            drawing.ready(Measure(name))
    with pytest.raises(RecipeError, match=r"allowed: .*chrf"):
        MinimumRisk(metric="lenght").prepare(Facts((), (), sampled=drawing))


def test_training_goes_on_as_if_nothing_had_been_drawn() -> None:
    drawing, model = own()
    forward, given = ModelForward(model.train()), conversation()

    def gradients() -> dict[str, torch.Tensor]:
        model.zero_grad()
        forward.losses(given).sum().backward()
        return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}

    before = gradients()
    drawing.draw(given, AT, 2)
    after = gradients()
    assert model.training and before.keys() == after.keys()
    assert all(torch.equal(before[n], after[n]) for n in before)


def test_minimum_risk_learns_what_scores_well() -> None:
    """Only replies without the letter "e" are worth anything: after some steps the model draws more of them."""

    class Worth(OwnReplies):
        def score(self, measure: Measure, example: str, output: str) -> float:
            return float(len(set(output) & set("abcdefghij")) > 0)

    model, tokenizer = toy_llama()
    drawing = Worth(model, tokenizer, (2,), seed=1, longest=3)
    objective = MinimumRisk(inner=None, samples=8, alpha=1.0).prepare(Facts((), (), sampled=drawing))
    forward, given = ModelForward(model.train()), conversation()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    worth = []
    for step in range(40):
        optimizer.zero_grad()
        terms = {t.name: t for t in objective(forward, given, At(step, 40))}
        terms["minimum_risk"].total.backward()
        optimizer.step()
        worth.append(float(terms["minimum_risk_sampled"].total) / 2)
    assert sum(worth[-5:]) / 5 > sum(worth[:5]) / 5 + 0.2, worth


def test_an_entailment_model_is_read_from_its_folder(tmp_path: Path) -> None:
    model, tokenizer = toy_bert(3)
    for labels, known in (
        ({0: "a", 1: "b", 2: "c"}, False),
        ({0: "CONTRADICTION", 1: "neutral", 2: "ENTAILMENT"}, True),
    ):
        model.config.id2label = labels
        model.save_pretrained(tmp_path)
        tokenizer.save_pretrained(tmp_path)
        if not known:
            with pytest.raises(ModelError, match="a label named entailment"):
                Entailment.of(str(tmp_path))
    drawing, _ = own()
    drawing._texts["a"] = ("warm wind", "")
    found = drawing.score(Measure("entailment", str(tmp_path)), "a", "cold rain")
    with torch.inference_mode():
        right = model.eval()(**tokenizer("warm wind", "cold rain", return_tensors="pt")).logits.softmax(-1)[0, 2]
    assert found == pytest.approx(float(right), rel=1e-5)
    with pytest.raises(ModelError, match="no folder"):
        Entailment.of(str(tmp_path / "none"))
