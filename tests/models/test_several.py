"""Models of several tasks on one body: nothing changes but that they share it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tunewright.adaptations import Full, Lora, PromptTuning, PTuningV2
from tunewright.core.errors import ModelError
from tunewright.core.tensors import Batch
from tunewright.encoding import Example, pack
from tunewright.models import several
from tunewright.models.forward import ModelForward
from tunewright.models.loading import Found, Loaded, load
from tunewright.models.saving import open_saved, save
from tunewright.models.several import TaskForwards

HEADS: dict[str, dict[str, Any]] = {
    "encoder": {"classes": "single_label_classification", "tags": "token_classification", "number": "regression"},
    "decoder": {"writes": "causal_lm", "more": "causal_lm"},
    "both sides": {"writes": "seq2seq_lm", "more": "seq2seq_lm"},
}  # fmt: skip
NOWHERE = Found("toy", None)


def loaded(problems: dict[str, Any]) -> dict[str, Loaded]:
    """Toys with one seed: as pretrained weights would, they give every task the same body."""
    labels = {"single_label_classification": ["a", "b", "c"], "token_classification": ["O", "B-X"], "regression": ["y"]}
    return {task: load(NOWHERE, labels.get(problem, ()), 0, problem) for task, problem in problems.items()}


def examples(problem: str, n: int = 6, seed: int = 0) -> list[Example]:
    rng = np.random.default_rng(seed)
    out = []
    for i in range(n):
        tokens = rng.integers(4, 20, size=rng.integers(2, 9)).astype(np.int64)
        one = Example(f"e{i}", tokens, int(rng.integers(0, 3)), len(tokens))
        if problem == "regression":
            one = replace(one, target=np.array([0.5]))
        elif problem == "seq2seq_lm":
            one = replace(one, unit="token", decoder=tokens[::-1].copy(), target=tokens % 5)
        elif problem != "single_label_classification":
            one = replace(one, unit="token", target=tokens % 2)
        out.append(one)
    return out


def batch_of(task: str, problem: str, seed: int | None = 7) -> Batch:
    return replace(pack(examples(problem), seed=seed), task=task)


def scores(forward: Any, batch: Batch) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = forward(batch)
    return found


@pytest.mark.parametrize("family", list(HEADS))
def test_sharing_changes_no_score_and_no_dropout(family: str) -> None:
    """Each task's own scores in training, with its dropout, before; those of the forwards over one body after."""
    problems = HEADS[family]
    models = {task: one.model for task, one in loaded(problems).items()}
    body = next(iter(models.values())).base_model.state_dict()
    for model in models.values():
        model.base_model.load_state_dict(body, strict=False)
    wanted = {}
    for task, problem in problems.items():
        forward = ModelForward(models[task].train(), layout=None)
        wanted[task] = scores(forward, batch_of(task, problem))
        forward.release()
    sizes = {task: sum(p.numel() for p in model.parameters()) for task, model in models.items()}
    several.share(models)
    assert sizes == {task: sum(p.numel() for p in model.parameters()) for task, model in models.items()}
    together = TaskForwards(models, dict.fromkeys(models), None, "float32")
    for task, problem in [*problems.items(), *reversed(problems.items())]:
        torch.testing.assert_close(scores(together, batch_of(task, problem)), wanted[task], rtol=1e-5, atol=1e-6)
    held = {id(p) for model in models.values() for p in model.parameters()}
    named = several.parameters(models)
    assert len(named) == len(held) and {id(p) for p in named.values()} == held
    first = next(iter(models.values()))
    for model in models.values():
        shared = {id(p) for p in model.base_model.parameters()} & {id(p) for p in first.parameters()}
        assert len(shared) >= len(list(first.base_model.parameters())) - 2


def test_language_models_share_their_heads_and_a_tied_table_stays_tied() -> None:
    models = {task: one.model for task, one in loaded({"one": "causal_lm", "two": "causal_lm"}).items()}
    several.share(models)
    table = models["one"].get_input_embeddings().weight
    assert all(m.lm_head.weight is table and m.get_input_embeddings().weight is table for m in models.values())
    assert several.install_rows(models, [torch.arange(4)]) is None


def test_gradients_of_both_tasks_meet_in_the_body() -> None:
    problems = {"classes": "single_label_classification", "number": "regression"}
    models = {task: one.model.train() for task, one in loaded(problems).items()}
    several.share(models)
    together = TaskForwards(models, dict.fromkeys(models), None, "float32")
    named = several.parameters(models)
    own = {}
    for task, problem in problems.items():
        for p in named.values():
            p.grad = None
        together(batch_of(task, problem)).square().sum().backward()
        own[task] = {n: p.grad.clone() for n, p in named.items() if p.grad is not None}
    for p in named.values():
        p.grad = None
    for task, problem in problems.items():
        together(batch_of(task, problem)).square().sum().backward()
    for name, p in named.items():
        assert p.grad is not None
        parts = [g[name] for g in own.values() if name in g]
        assert len(parts) == (1 if ":" in name else 2), name
        torch.testing.assert_close(p.grad, sum(parts), rtol=1e-5, atol=1e-6)
    shared = several.last_shared(models)
    assert any(p is shared and "pooler" in n for n, p in named.items())


def test_rows_that_learn_are_those_of_all_tasks() -> None:
    problems = {"classes": "single_label_classification", "number": "regression"}
    models = {task: one.model for task, one in loaded(problems).items()}
    several.share(models)
    live = several.install_rows(models, [torch.tensor([4, 5]), torch.tensor([5, 9])])
    assert live is not None and live.used.tolist() == [4, 5, 9]
    assert all(m.get_input_embeddings() is live for m in models.values())
    assert sum("rows" in name for name in several.parameters(models)) == 1
    with torch.no_grad():
        live.rows += 1
    several.remove_rows(models)
    first, second = (m.get_input_embeddings().weight for m in models.values())
    assert first is second and torch.equal(first[[4, 5, 9]], live.rows)


@pytest.mark.parametrize("adaptation", [Full(), Lora(rank=4), PromptTuning(tokens=4), PTuningV2(tokens=4)], ids=repr)
def test_each_task_is_saved_by_itself_and_opens_alike(adaptation: Any, tmp_path: Path) -> None:
    problems = {"classes": "single_label_classification", "tags": "token_classification"}
    found = loaded(problems)
    models = {task: adaptation.attach(one.model, 3) for task, one in found.items()}
    several.share(models)
    named = several.parameters(models)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in named.values():
            p += 0.05 * torch.randn(p.shape, generator=generator)
    together = TaskForwards(models, dict.fromkeys(models), None, "float32")
    for model in models.values():
        model.eval()
    wanted = {task: scores(together, batch_of(task, problem, None)) for task, problem in problems.items()}
    together.release()
    for task, problem in problems.items():
        save(found[task], models[task], tmp_path / task, adaptation_name="x", extra={"problem": problem})
        opened = ModelForward(open_saved(tmp_path / task).model, fixed=True)
        torch.testing.assert_close(scores(opened, batch_of("", problem, None)), wanted[task], rtol=1e-4, atol=1e-5)


def test_bodies_that_have_nothing_in_common_are_refused() -> None:
    models = {task: one.model for task, one in loaded({"reads": "regression", "writes": "causal_lm"}).items()}
    with pytest.raises(ModelError, match=r"tasks\.writes"):
        several.share(models)
