"""Several tasks on one body: the models share the modules that read texts, and keep a head each.

Every task's model is an ordinary model of transformers (or of peft around one) with the others' body in it, so that each
is trained, judged and saved as if it were alone. What is shared is one module in several places, and one parameter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from tunewright.core.errors import ModelError, Problem
from tunewright.core.tensors import Batch, Parameters
from tunewright.models import dropout, rows
from tunewright.models.forward import Layout, ModelForward
from tunewright.models.heads import output_of
from tunewright.models.kept import Keeping
from tunewright.models.rows import LiveRows

Scale = tuple[Sequence[float], Sequence[float]] | None


class TaskForwards:
    """The forwards of several tasks over one body: a batch goes to its task's. Their dropouts draw from one place."""

    def __init__(
        self,
        models: Mapping[str, Any],
        scales: Mapping[str, Scale],
        layout: Layout | None,
        precision: Literal["float32", "bfloat16"],
        keep: Mapping[str, Keeping | None] | None = None,
    ) -> None:
        draws = dropout.Draws()
        self.forwards = {
            task: ModelForward(
                model, layout=layout, precision=precision, scale=scales[task], draws=draws, keep=(keep or {}).get(task)
            )
            for task, model in models.items()
        }

    def of(self, task: str) -> ModelForward:
        """The forward of one task."""
        return self.forwards[task]

    def __call__(self, batch: Batch, nudge: Tensor | None = None) -> Tensor:
        return self.of(batch.task)(batch, nudge)

    def losses(self, batch: Batch, nudge: Tensor | None = None, smoothing: float = 0.0) -> Tensor:
        return self.of(batch.task).losses(batch, nudge, smoothing)

    def nudge_like(self, batch: Batch) -> Tensor:
        return self.of(batch.task).nudge_like(batch)

    def release(self) -> None:
        """The models as transformers knows them."""
        for forward in self.forwards.values():
            forward.release()


def plain(model: Any) -> Any:
    """The model of transformers itself, also below an adapter."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def share(models: Mapping[str, Any]) -> None:
    """Puts the first model's body into all of them, and the virtual tokens that it reads; language models of one kind share
    their heads too.

    Raises:
        ModelError: the tasks need bodies that have nothing in common.
    """
    known: dict[str, nn.Module] = {}
    problems = []
    for task, model in models.items():
        inner = plain(model)
        body = inner.base_model
        named = [(body, name, name) for name, _ in body.named_children()]
        if output_of(inner) == "vocabulary" and body is not inner:
            heads = (name for name, child in inner.named_children() if child is not body)
            named += [(inner, name, f"{type(inner).__name__}.{name}") for name in heads]
        if isinstance(
            getattr(model, "prompt_encoder", None), nn.Module
        ):  # virtual tokens, which peft keeps outside the body
            named.append((model, "prompt_encoder", "prompt_encoder"))
        learnt = 0
        for holder, name, key in named:
            own = getattr(holder, name)
            other = known.setdefault(key, own)
            if _shapes(own) != _shapes(other):
                problems.append(_apart(task, f"its {name} is unlike that of the tasks before"))
            elif other is not own:
                setattr(holder, name, other)
            learnt += sum(p.numel() for p in other.parameters()) if other is not own else 0
        if known and task != next(iter(models)) and not learnt:
            problems.append(_apart(task, f"{type(inner).__name__} has no part in common with those before"))
        if output_of(inner) == "vocabulary" and hasattr(inner, "tie_weights"):
            inner.tie_weights()
    if problems:
        raise ModelError(*problems)


def _apart(task: str, found: str) -> Problem:
    return Problem(where=f"tasks.{task}", found=found, allowed="tasks that read with one body",
                   to_do="train this task in a recipe of its own")  # fmt: skip


def _shapes(module: nn.Module) -> list[tuple[str, torch.Size]]:
    return [(name, p.shape) for name, p in module.named_parameters()]


def parameters(models: Mapping[str, Any]) -> Parameters:
    """What learns, by name: what several tasks share under its own name, what one has alone with the task's before."""
    holders: dict[int, list[str]] = {}
    for task, model in models.items():
        for p in model.parameters():
            holders.setdefault(id(p), []).append(task)
    found: dict[str, nn.Parameter] = {}
    taken = set[int]()
    for task, model in models.items():
        for name, p in model.named_parameters():
            if p.requires_grad and id(p) not in taken:
                taken.add(id(p))
                found[name if len(holders[id(p)]) > 1 and name not in found else f"{task}:{name}"] = p
    return found


def last_shared(models: Mapping[str, Any]) -> nn.Parameter | None:
    """The last matrix that learns and that all tasks share, in the first model's own order."""
    sets = [{id(p) for p in model.parameters()} for model in models.values()]
    first = next(iter(models.values()))
    shared = [p for p in first.parameters() if p.requires_grad and p.ndim >= 2 and all(id(p) in s for s in sets)]
    return shared[-1] if shared else None


def install_rows(models: Mapping[str, Any], tokens: Sequence[Tensor]) -> LiveRows | None:
    """As `rows.install`, for the one embedding of all; None also where any of the models ties it to its head."""
    inner = [plain(model) for model in models.values()]
    weight = inner[0].get_input_embeddings().weight
    tied = [sum(p is weight for _, p in m.named_parameters(remove_duplicate=False)) > 1 for m in inner]
    if any(tied) or any(m.get_input_embeddings().weight is not weight for m in inner):
        return None
    live = rows.install(inner[0], tokens)
    for model in inner[1:] if live is not None else ():
        if model.get_input_embeddings() is not live:
            model.set_input_embeddings(live)
    return live


def remove_rows(models: Mapping[str, Any]) -> None:
    """Puts the plain embedding back into all of them."""
    for model in models.values():
        rows.remove(plain(model))
