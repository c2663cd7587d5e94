"""`selftest` finds what is broken: a mutant for each check, each caught by it and told in words; and the command."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy_runs import Cli, lay

from tunewright import selftesting
from tunewright.core.tensors import At, Batch, Forward, Term
from tunewright.models.forward import ModelForward
from tunewright.objectives import CrossEntropy
from tunewright.recipe import families, parse
from tunewright.selftesting import CHECKS, answers, checked, subjects, toys
from tunewright.selftesting.results import Found, Result
from tunewright.selftesting.subjects import Subject, budget, chosen_examples, subject

Patch = pytest.MonkeyPatch


@pytest.fixture(scope="module")
def tested(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Subject]]:
    """The subject of a toy's recipe, made once."""
    families()
    recipes, made = dict(toys.recipes(tmp_path_factory.mktemp("toys"))), dict[str, Subject]()
    with ExitStack() as stack:

        def of(title: str) -> Subject:
            if title not in made:
                made[title] = stack.enter_context(subject(recipes[title], Path()))
            return made[title]

        yield of


def failed(found: Result, *words: str) -> None:
    assert found.passed is False, f"{found.name} did not see it: {found}"
    assert all(word in found.words for word in words), found.words


class Objective:
    """Cross entropy, its term changed."""

    fits = ("classes", "tokens")

    def __init__(self, change: Callable[[Term, Batch], Term]) -> None:
        self.change = change

    def __call__(self, forward: Forward, batch: Batch, at: At) -> tuple[Term, ...]:
        return tuple(self.change(term, batch) for term in CrossEntropy()(forward, batch, at))


def averaged(term: Term, batch: Batch) -> Term:
    return replace(term, total=term.total / len(batch.positions))


def first_doubled(term: Term, batch: Batch) -> Term:
    return replace(term, total=term.total + term.total * (0.1 if batch.ids[0] < batch.ids[-1] else 0.0))


def centred(term: Term, batch: Batch) -> Term:
    assert term.rows is not None
    return replace(term, rows=term.rows - 0.1 * term.rows.mean())


def with_objective(tested: Subject, change: Callable[[Term, Batch], Term]) -> Subject:
    return replace(tested, job=replace(tested.job, objective=Objective(change)))


@pytest.mark.parametrize("title", ["classification", "chat"])
@pytest.mark.parametrize("name", ["accumulation", "packing and padding"])
def test_an_objective_that_averages(title: str, name: str, tested: Callable[[str], Subject]) -> None:
    failed(checked(with_objective(tested(title), averaged), name), "one by one", "apart", "allowed")


def test_an_objective_that_depends_on_the_order(tested: Callable[[str], Subject]) -> None:
    failed(checked(with_objective(tested("chat"), first_doubled), "row order"), "in reverse", "the gradients differ")


def test_an_objective_whose_examples_see_one_another(tested: Callable[[str], Subject]) -> None:
    failed(checked(with_objective(tested("classification"), centred), "neighbours"), "example ", "has a loss of")


class Leaking(ModelForward):
    """Every token sees a little of all the batch."""

    def _hidden(self, *given: Any) -> Any:
        hidden = super()._hidden(*given)
        return hidden + 0.1 * hidden.mean(0)


@pytest.mark.parametrize("title", ["chat", "token_classification"])
def test_a_forward_with_leaking_attention(title: str, tested: Callable[[str], Subject], monkeypatch: Patch) -> None:
    subject = tested(title)
    monkeypatch.setattr(subjects, "ModelForward", Leaking)
    for name in ("accumulation", "packing and padding", "neighbours", "transformers' own loss"):
        failed(checked(subject, name), "apart")
    words = checked(subject, "neighbours").words
    assert any(i in words for i in subject.ids), "it names the example"


def test_padding_that_is_attended_to(tested: Callable[[str], Subject], monkeypatch: Patch) -> None:
    class Padding(ModelForward):
        def _pad(self, batch: Batch) -> Any:
            read, mask, types = super()._pad(batch)
            return {**read, "attention_mask": torch.ones_like(read["attention_mask"])}, mask, types

    monkeypatch.setattr(subjects, "ModelForward", Padding)
    failed(checked(tested("classification"), "packing and padding"), "padded, against one by one")
    assert checked(tested("classification"), "accumulation").passed


@pytest.mark.parametrize("title", ["classification", "seq2seq, encoder-decoder"])
def test_masks_by_the_place_in_the_batch(title: str, tested: Callable[[str], Subject], monkeypatch: Patch) -> None:
    monkeypatch.setattr("tunewright.models.forward._keys", lambda batch: torch.arange(len(batch.ids)) * 977 + 5)
    failed(checked(tested(title), "dropout"), "one by one", "the gradients differ")
    assert checked(tested(title), "accumulation").passed


def test_the_same_masks_at_every_step(tested: Callable[[str], Subject], monkeypatch: Patch) -> None:
    whole = Subject.batch
    monkeypatch.setattr(Subject, "batch", lambda self, ids, step=0: whole(self, ids, 0))
    failed(checked(tested("classification"), "dropout"), "another step drops the same")


def test_a_fault_of_one_precision(tested: Callable[[str], Subject], monkeypatch: Patch) -> None:
    class Narrow(Leaking):
        def _hidden(self, *given: Any) -> Any:
            return super()._hidden(*given) if self.precision == "bfloat16" else ModelForward._hidden(self, *given)

    one = tested("chat")
    narrow = replace(one, recipe=one.recipe.model_copy(
        update={"model": one.recipe.model.model_copy(update={"precision": "bfloat16"})}))  # fmt: skip
    assert checked(narrow, "own precision").passed
    monkeypatch.setattr(
        Leaking, "_hidden", lambda self, *given: 2 * torch.roll(ModelForward._hidden(self, *given), 1, 0)
    )
    monkeypatch.setattr(subjects, "ModelForward", Narrow)
    failed(checked(narrow, "own precision"), "apart from that in float32")
    assert checked(narrow, "accumulation").passed


@pytest.mark.parametrize("title", ["chat", "seq2seq, encoder-decoder", "language_modeling, masked"])
def test_a_loss_that_is_not_transformers_own(title: str, tested: Callable[[str], Subject], monkeypatch: Patch) -> None:
    class Other(ModelForward):
        def states(self, *given: Any) -> Any:
            return super().states(*given) * 1.01

        def cost(self, *given: Any) -> Any:
            return super().cost(*given) * 1.001

    monkeypatch.setattr(subjects, "ModelForward", Other)
    failed(checked(tested(title), "transformers' own loss"))
    assert checked(tested(title), "accumulation").passed


@pytest.mark.parametrize("title", ["classification", "multilabel", "regression", "reward", "token_classification"])
def test_scores_that_are_not_transformers_own(title: str, tested: Callable[[str], Subject], monkeypatch: Patch) -> None:
    class Other(ModelForward):
        def __call__(self, *given: Any) -> Any:
            return super().__call__(*given) * 1.001

    monkeypatch.setattr(subjects, "ModelForward", Other)
    failed(checked(tested(title), "transformers' own loss"), "transformers' own forward")


def test_units_that_are_counted_wrong(tested: Callable[[str], Subject], monkeypatch: Patch) -> None:
    counts = Batch.counts
    monkeypatch.setattr(Batch, "counts", lambda self: {**counts(self), "token": counts(self).get("token", 0) + 1})
    found = checked(tested("chat"), "transformers' own loss")
    failed(found, "supervised, and the step divides by")


def test_a_model_that_changes_when_it_is_saved(tested: Callable[[str], Subject], monkeypatch: Patch) -> None:
    def opened(*given: Any) -> Any:
        kind, forward = selftesting.answers.fitting_opened(*given)  # type: ignore[attr-defined]
        with torch.no_grad():
            next(iter(forward.model.parameters())).mul_(1.01)
        return kind, forward

    monkeypatch.setattr(answers, "fitting_opened", answers.opened, raising=False)
    monkeypatch.setattr(answers, "opened", opened)
    failed(checked(tested("classification"), "save and open"), "before saving and opened again")


def test_a_tokenizer_that_changes_when_it_is_saved(tested: Callable[[str], Subject], monkeypatch: Patch) -> None:
    from tunewright.models.saving import open_saved

    def other(folder: Path) -> Any:
        saved = open_saved(folder)
        saved.tokenizer.chat_template = saved.tokenizer.chat_template.replace("### ", "## ")
        return saved

    monkeypatch.setattr(answers, "open_saved", other)
    failed(checked(tested("chat"), "save and open"), "the template that the model was trained with")


@pytest.mark.parametrize("title", ["chat", "seq2seq, encoder-decoder"])
def test_texts_that_depend_on_others(title: str, tested: Callable[[str], Subject], monkeypatch: Patch) -> None:
    made = answers.generate

    def wrong(model: Any, prompts: Any, *given: Any, **more: Any) -> Any:
        out = made(model, prompts, *given, **more)
        return out if len(prompts) == 1 else [replace(one, tokens=(*one.tokens[:2], 9, 9)) for one in out]

    monkeypatch.setattr(answers, "generate", wrong)
    failed(checked(tested(title), "texts"), "alone and among others", "the text of")


def test_texts_that_are_not_those_of_transformers(tested: Callable[[str], Subject], monkeypatch: Patch) -> None:
    made = answers.generate
    monkeypatch.setattr(
        answers,
        "generate",
        lambda *given, **more: [replace(one, tokens=(*one.tokens[1:], 9)) for one in made(*given, **more)],
    )
    failed(checked(tested("chat"), "texts"), "by model.generate")


def shifted(target: Any, learnt: Any) -> Any:
    return np.roll(target, 1)


def all_learnt(target: Any, tokens: Any) -> Any:
    return np.concatenate([tokens[1:], target[-1:]])


def without_end(target: Any, tokens: Any) -> Any:
    target = target.copy()
    target[np.flatnonzero(target >= 0)[-1]] = -100
    return target


def nothing(target: Any, tokens: Any) -> Any:
    return np.full_like(target, -100)


@pytest.mark.parametrize(
    ("change", "words"),
    [(shifted, "a target is not the token that follows"), (all_learnt, "is not what follows the tokens that serving sends"),
     (without_end, "without the token that ends a turn"), (nothing, "nothing of it is learnt")],
)  # fmt: skip
@pytest.mark.parametrize("title", ["chat", "preference"])
def test_a_broken_mask(title: str, change: Any, words: str, tested: Callable[[str], Subject]) -> None:
    one = tested(title)
    assert checked(one, "chat template").passed
    spoilt = [replace(e, target=change(e.target, e.tokens)) for e in one.examples]
    failed(checked(replace(one, examples=spoilt), "chat template"), words, one.ids[0])


def test_a_prompt_that_serving_does_not_send(tested: Callable[[str], Subject], monkeypatch: Patch) -> None:
    one = tested("reward")
    spoilt = [replace(e, tokens=np.roll(e.tokens, 1)) for e in one.examples]
    failed(checked(replace(one, examples=spoilt), "chat template"), "serving sends")


def test_what_a_check_raises_is_its_failure(tested: Callable[[str], Subject], monkeypatch: Patch) -> None:
    def broken(subject: Subject) -> Found:
        raise ValueError("no such thing")

    monkeypatch.setattr(selftesting, "CHECKS", {**CHECKS, "row order": broken})
    failed(checked(tested("classification"), "row order"), "ValueError: no such thing")


def test_a_figure_that_is_no_number_fails() -> None:
    found = Found.of("", [(float("nan"), "this"), (1.0, "that")]).result("t", "n", 0.0)
    failed(found, "this", "and 1 more")
    assert Found.of("well", [(1e-7, "this")]).result("t", "n", 0.0).passed


def test_examples_are_few_for_large_models(tested: Callable[[str], Subject]) -> None:
    assert budget(10**5) == 2048 and budget(10**8) == 150 and budget(10**10) == 96
    examples = tested("chat").examples
    assert sum(len(e) for e in chosen_examples(examples, 200)) <= 200
    assert len(chosen_examples(examples, 1)) == 2, "two at least"


def test_the_command(tmp_path: Path, cli: Cli, monkeypatch: Patch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = lay(tmp_path)
    said = cli("selftest", recipe)
    assert said.code == 0 and "checks passed" in said.out, said.out
    assert "save and open" in said.out and not (tmp_path / "runs").exists()
    said = cli("selftest", recipe, "--set", "model.precision=float32", "--json")
    assert said.code == 0 and said.value["ok"] and len(said.value["checks"]) == len(CHECKS)
    assert {c["passed"] for c in said.value["checks"]} == {True, None}
    monkeypatch.setattr(subjects, "ModelForward", Leaking)
    said = cli("selftest", recipe, "--json")
    assert said.code == 1 and not said.value["ok"]
    said = cli("selftest", recipe)
    assert said.code == 1 and "FAILED" in said.out and "neighbours" in said.out
    assert cli("selftest", tmp_path / "none.yaml").code == 2
    (tmp_path / "toy.csv").unlink()
    assert cli("selftest", recipe).code == 3


def test_several_tasks_are_tested_one_by_one(tmp_path: Path) -> None:
    toys.lay(tmp_path)
    parts = {name: {k: v for k, v in toys.recipe(name, tmp_path).items() if k in ("task", "data")}
             for name in ("classification", "regression")}  # fmt: skip
    found = list(selftesting.selftest(parse({"task": "multitask", "model": "toy", "tasks": parts})))
    assert [one.task for one in found] == [*["classification"] * len(CHECKS), *["regression"] * len(CHECKS)]
    assert not [one.words for one in found if one.passed is False]
