"""What is tested: a recipe's own model, adaptation and objective on a few of its own rows."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tunewright import data as data_side
from tunewright.core.errors import DataError, Problem, counted
from tunewright.core.records import Record
from tunewright.core.seeds import key
from tunewright.core.tensors import At, Batch, Gradient, Report, parameters_of
from tunewright.encoding import Example, collate, record_of
from tunewright.fitting import Fit, prepare_fit
from tunewright.identity import base_model, placed
from tunewright.kinds import Encoded, Kind, begin
from tunewright.models.forward import Layout, ModelForward
from tunewright.models.loading import find
from tunewright.models.precision import chosen
from tunewright.models.rows import LiveRows
from tunewright.recipe import Recipe
from tunewright.training import Plan, Windows, train

ROWS = 1000
"""Rows of the training set that an objective's facts are taken from."""
EXAMPLES = 10
STEP = 3
"""The optimizer step that is computed: any but the first, so that a mistake in what is keyed by the step shows."""
Cut = Sequence[Sequence[str]]
"""Which examples' ids lie in which micro-batch."""


@dataclass(frozen=True)
class Step:
    """What one optimizer step computes. rows: each example's own loss; totals: how many of each unit are supervised."""

    loss: float
    rows: Mapping[str, float]
    totals: Mapping[str, int]
    gradient: Mapping[str, Tensor]

    def norm(self) -> float:
        """The length of the gradient."""
        return float(torch.stack([g.double().square().sum() for g in self.gradient.values()]).sum().sqrt())


class _Still:
    """An update that asks for the gradient and changes nothing."""

    def step(self, gradient: Gradient, at: At) -> Report:
        return gradient()

    def state(self) -> dict[str, Any]:
        return {}

    def load(self, state: Mapping[str, Any]) -> None:
        """Nothing to load."""


class _Given:
    """A sampler that draws the ids that it was given, once."""

    def __init__(self, ids: Sequence[str]) -> None:
        self.ids = list(ids)

    def draw(self, n: int) -> list[str]:
        return self.ids[:n]

    def observe(self, report: Report) -> None:
        """Nothing is learnt from it."""

    def state(self) -> dict[str, Any]:
        return {}

    def load(self, state: Mapping[str, Any]) -> None:
        """Nothing to load."""


@dataclass
class Subject:
    """records: all that were encoded. examples: the few that are computed with. prompts: to which replies are written."""

    recipe: Recipe
    kind: Kind
    job: Fit
    records: list[Record]
    examples: list[Example]
    refused: list[Any]
    prompts: list[Example]
    own: Layout

    @property
    def task(self) -> str:
        """The task's name."""
        return self.recipe.task

    @property
    def ids(self) -> list[str]:
        """The examples' ids, in a fixed order."""
        return [e.id for e in self.examples]

    @property
    def packs(self) -> bool:
        """Whether the model can be packed and padded alike."""
        with self.forward(None) as forward:
            return forward.layout == "packed"

    @property
    def precision(self) -> Any:
        """What the run computes in."""
        return chosen(self.recipe.model.precision, self.recipe.model.device)

    @contextmanager
    def forward(
        self, layout: Layout | None, precision: Any = "float32", dropout: bool = False
    ) -> Iterator[ModelForward]:
        """The model in training, with or without dropout; the model is transformers' own again after."""
        made = ModelForward(self.job.model, layout=layout, precision=precision, scale=self.kind.scale)
        made.model.train(dropout)
        for module in made.model.modules():
            if isinstance(module, LiveRows):
                module.train()
        try:
            yield made
        finally:
            made.release()

    @contextmanager
    def shaken(self) -> Iterator[None]:
        """Every weight moved by one part in 2^24, what float32 rounds by; all is put back after."""
        before = {name: p.detach().clone() for name, p in self.job.model.named_parameters()}
        generator = torch.Generator().manual_seed(key(self.recipe.seed, "shaken"))
        with torch.no_grad():
            for p in self.job.model.parameters():
                p.mul_((1 + 2.0**-24 * torch.randn(p.shape, generator=generator).sign() * 2).to(p))
        try:
            yield
        finally:
            with torch.no_grad():
                for name, p in self.job.model.named_parameters():
                    p.copy_(before[name])

    def batch(self, ids: Sequence[str], step: int = STEP) -> Batch:
        """The examples as a step of training has them."""
        return collate({e.id: e for e in self.examples}, self.recipe.seed, self.kind.altered)(ids, step)

    def altered(self, example: Example, step: int = STEP) -> Example:
        """The example as a step of training has it."""
        if self.kind.altered is None:
            return example
        return self.kind.altered(example, key(self.recipe.seed, step, example.id))

    def windows(self, micro_tokens: int) -> Cut:
        """The step as `Windows` cuts it into micro-batches of so many tokens."""
        lengths = {e.id: len(e) for e in self.examples}
        plan = Plan(len(self.ids), 1, len(self.ids))
        lying: list[list[str]] = []

        def noted(ids: Sequence[str], step: int) -> Batch:
            lying.append(list(ids))
            return self.batch(ids)

        next(Windows(_Given(self.ids), noted, lengths, plan, micro_tokens=micro_tokens))
        return lying

    def step(self, forward: Any, cut: Cut, objective: Any = None, step: int = STEP) -> Step:
        """The loop's own step over the examples, cut into micro-batches as `cut` says."""
        window = [self.batch(ids, step) for ids in cut]
        report = next(
            train(
                forward, iter([window]), objective or self.job.objective, _Still(), self.job.parameters,
                steps=step + 1, start=step,
            )
        )  # fmt: skip
        gradient = {n: p.grad.detach() for n, p in self.job.parameters.items() if p.grad is not None}
        return Step(report.loss, report.rows, report.totals, gradient)


@contextmanager
def subject(recipe: Recipe, base: Path) -> Iterator[Subject]:
    """The recipe's model ready to be tested, its weights moved a little, as training would move them.

    Raises:
        TunewrightError: what would also end a run: of recipe, data or model.
    """
    recipe = placed(recipe, base)
    options = recipe.options(base)
    prepared = data_side.prepare(data_side.gather(options), options, recipe.seed)
    found = find(base_model(recipe, base), recipe.model.revision)
    kind = begin(recipe, found, prepared.splits)
    encoded = kind.encode(_sample(prepared.splits["train"]))
    parameters = parameters_of(kind.loaded.model)
    few = chosen_examples(encoded.examples, budget(parameters))
    if len(few) < 2:
        raise DataError(
            Problem(
                where="data, train split", found=f"{counted(len(few), 'example')} to learn from", allowed="at least 2"
            )
        )
    with tempfile.TemporaryDirectory() as kept:
        few = kind.ready({"train": replace(encoded, examples=few)}, recipe, Path(kept), "selftest")["train"].examples
    exact = recipe.model_copy(update={"model": recipe.model.model_copy(update={"precision": "float32"})})
    job = prepare_fit(exact, kind, encoded.examples, Encoded([], []))
    own = job.forward.layout
    job.forward.release()
    _move(job, recipe.seed)
    drawn = {record_of(e.id) for e in few}
    prompts = [p for p in encoded.prompts if p.id in drawn][:4]
    yield Subject(recipe, kind, job, list(encoded.records), few, list(encoded.left), prompts, own)


def budget(parameters: int) -> int:
    """Tokens of the step: fewer for large models, so that all checks take less than a minute on two cores."""
    return int(min(2048, max(96, 1.5e10 / max(parameters, 1))))


def _sample(records: Sequence[Record]) -> list[Record]:
    """Some rows by keyed hash, and one of each label, so that an objective knows them all."""
    if len(records) <= ROWS:
        return list(records)
    some = sorted(records, key=lambda r: key("selftest", r.id))[:ROWS]
    each = {r.label: r for r in reversed(records)} if len({r.label for r in records}) <= ROWS else {}
    return list({r.id: r for r in (*some, *each.values())}.values())


def chosen_examples(examples: Sequence[Example], tokens: int) -> list[Example]:
    """Some supervised examples of different lengths, of one or of two sides alike, of at most `tokens` (two at least)."""
    known = [e for e in examples if e.target is not None]
    two = sum(e.other is not None for e in known) * 2 > len(known)
    known = sorted((e for e in known if (e.other is not None) == two), key=lambda e: key("selftest", e.id))
    out, used = list[Example](), 0
    for example in known:
        if used + len(example) <= tokens and len(out) < EXAMPLES:
            out.append(example)
            used += len(example)
    return out if len(out) >= 2 else sorted(known, key=len)[:2]


def _move(job: Fit, seed: int) -> None:
    """Adds a little noise to what learns: a part that begins at zero (an adapter's) would hide mistakes."""
    generator = torch.Generator().manual_seed(key(seed, "selftest"))
    with torch.no_grad():
        for parameter in job.parameters.values():
            size = max(float(parameter.float().square().mean().sqrt()), 0.1)
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.add_((0.02 * size * noise).to(parameter))
