"""A loss of the user's own, from a Python file that the recipe names. THE FILE IS RUN AS CODE, with all rights of the run.

    def my_loss(scores, targets, *, gamma=2.0):     # scores (U, C); targets (U,) classes or tokens, (U, K) labels or numbers
        return ...                                  # (U,): a loss for each unit, not their mean

The function is pure PyTorch; the gradient is PyTorch's. It may not average over units: only the loop divides. That is
tried on the first batch: a unit's loss may not change with the units beside it. For tokens over a large vocabulary it is
called on some units at a time. Unit: the batch's. Cost: one forward pass and the function's own.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from tunewright.core.errors import Problem, RecipeError, closest, listed
from tunewright.core.registry import register
from tunewright.core.tensors import At, Batch, Facts, Fits, Forward, Term, summed
from tunewright.objectives.chunks import parted, per_unit

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass
class _Tried:
    """Whether the function has been tried on real scores."""

    yet: bool = False


@register("objective", "custom")
@dataclass(frozen=True)
class Custom:
    """`file`: a Python file. `function`: its name there. `options`: given to it by name."""

    fits: ClassVar[tuple[Fits, ...]] = ("classes", "tokens", "labels", "numbers")
    paths: ClassVar[tuple[str, ...]] = ("file",)
    file: str
    function: str = "loss"
    options: dict[str, Any] = field(default_factory=dict)
    _loss: Loss | None = field(default=None, init=False, repr=False, compare=False)
    _tried: _Tried = field(default_factory=_Tried, init=False, repr=False, compare=False)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the file's content: what makes this loss another one.

        Raises:
            RecipeError: the file cannot be read.
        """
        return hashlib.sha256(_content(self.file)).hexdigest()

    def prepare(self, facts: Facts) -> Custom:
        """The same objective with its function: runs the file.

        Raises:
            RecipeError: the file cannot be read or fails, has no such function, or that takes other options.
        """
        found = replace(self)
        object.__setattr__(found, "_loss", _function(self.file, self.function, self.options))
        return found

    def __call__(self, forward: Forward, batch: Batch, at: At) -> tuple[Term, ...]:
        if self._loss is None:
            raise ValueError("custom is prepared, which runs its file, before it is used")
        states, scoring = parted(forward, batch)
        if not self._tried.yet and len(states):
            self._try(self._loss, scoring(states[:64].detach()), batch.targets[:64])
            self._tried.yet = True
        losses = (
            per_unit(self._loss, scoring, states, beside=(batch.targets,)) if len(states) else scoring(states).sum(-1)
        )
        if losses.shape != (len(states),):
            raise self._wrong(f"a tensor {tuple(losses.shape)} for {len(states)} units", "one loss a unit")
        return (summed("custom", losses, batch),)

    def _try(self, loss: Loss, scores: Tensor, targets: Tensor) -> None:
        """Sees on some units that the losses are one a unit, finite, differentiable, and each of its own unit alone."""
        scores = scores.clone().requires_grad_()
        losses = loss(scores, targets)
        if not isinstance(losses, Tensor):
            raise self._wrong(f"a {type(losses).__name__}", "a tensor of one loss a unit")
        if losses.shape != (len(scores),):
            to_do = "return the losses before their mean or sum (reduction='none')" if losses.dim() == 0 else ""
            raise self._wrong(f"a tensor {tuple(losses.shape)} for {len(scores)} units", "one loss a unit", to_do)
        if not torch.isfinite(losses).all():
            bad = int((~torch.isfinite(losses)).sum())
            raise self._wrong(f"{bad} of {len(losses)} losses are not finite", "finite numbers",
                              "work with log_softmax, or clamp before log and division")  # fmt: skip
        gradient = torch.autograd.grad(losses.sum(), scores, allow_unused=True)[0] if losses.requires_grad else None
        if gradient is None:
            raise self._wrong("losses without a gradient", "losses that are made of `scores`",
                              "leave out .detach(), .item(), .argmax(), numpy and no_grad")  # fmt: skip
        if not torch.isfinite(gradient).all():
            raise self._wrong("a gradient that is not finite", "a finite gradient",
                              "clamp before log, sqrt and division")  # fmt: skip
        with torch.no_grad():
            alone = torch.cat([loss(scores[i : i + 1], targets[i : i + 1]) for i in range(min(len(scores), 8))])
        if not torch.allclose(alone, losses.detach()[: len(alone)], rtol=1e-3, atol=1e-5):
            raise self._wrong("a unit's loss changes with the units beside it, or by chance", "a loss of its own unit alone",
                              "leave out means, norms and random numbers over the first axis")  # fmt: skip

    def _wrong(self, found: str, allowed: str, to_do: str = "") -> RecipeError:
        return RecipeError(Problem(where=f"{self.file}, {self.function}", found=found, allowed=allowed, to_do=to_do))


def _function(file: str, name: str, options: Mapping[str, Any]) -> Loss:
    """The function `name` of a file with its options set. The file is run as a module of its own."""

    def problem(found: str, allowed: str, to_do: str = "") -> RecipeError:
        return RecipeError(Problem(where=f"objective.custom: {file}", found=found, allowed=allowed, to_do=to_do))

    space: dict[str, Any] = {"__name__": "custom_loss", "__file__": file}
    try:
        exec(compile(_content(file), file, "exec"), space)
    except RecipeError:
        raise
    except Exception as error:
        raise problem(f"{type(error).__name__}: {error}{_line(error, file)}", "a Python file that runs") from error
    functions = sorted(n for n, v in space.items() if inspect.isfunction(v) and v.__module__ == "custom_loss")
    loss: Any = space.get(name)
    if not callable(loss):
        raise problem(f"no function {name!r}", listed(functions) or "a function `def loss(scores, targets)`",
                      closest(name, functions))  # fmt: skip
    try:
        inspect.signature(loss).bind(None, None, **options)
    except TypeError as error:
        raise problem(f"{name}{inspect.signature(loss)} cannot be called: {error}",
                      "a function of scores, targets, and the recipe's `options` by name") from error  # fmt: skip

    def told(scores: Tensor, targets: Tensor) -> Tensor:
        """The user's function; what goes wrong in it is said with its line."""
        try:
            found: Tensor = loss(scores, targets, **options)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            raise problem(f"{name}: {type(error).__name__}: {error}{_line(error, file)}", "a function that runs",
                          f"it was given scores {tuple(scores.shape)}, targets {tuple(targets.shape)}") from error  # fmt: skip
        return found

    return told


def _content(file: str) -> bytes:
    try:
        return Path(file).expanduser().read_bytes()
    except OSError as error:
        raise RecipeError(
            Problem(where="objective.custom.file", found=f"{file}: {error.strerror}", allowed="a Python file",
                    to_do="name it from where the recipe lies, or by its whole path")
        ) from error  # fmt: skip


def _line(error: Exception, file: str) -> str:
    """Where in the user's file an error arose."""
    if isinstance(error, SyntaxError):
        return ""
    step, lines = error.__traceback__, list[int]()
    while step is not None:
        if step.tb_frame.f_code.co_filename == file:
            lines.append(step.tb_lineno)
        step = step.tb_next
    return f" (line {lines[-1]})" if lines else ""
