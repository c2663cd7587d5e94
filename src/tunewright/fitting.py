"""One recipe's training as one for-loop: builds the objects, asks the loop for reports, saves, validates, stops."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from tunewright.core import registry
from tunewright.core.errors import Interrupted, OutOfMemory, Problem, RecipeError, RunDamaged, counted
from tunewright.core.records import Record
from tunewright.core.seeds import key
from tunewright.core.tensors import (
    Adaptation,
    BoundUpdate,
    Objective,
    Parameters,
    Report,
    parameters_of,
    trainable,
)
from tunewright.encoding import Example, collate
from tunewright.kinds import Encoded, Kind, reopen
from tunewright.kinds.pools import bound_sampler
from tunewright.models import rows
from tunewright.models.forward import ModelForward
from tunewright.models.kept import Keeping, default_folder
from tunewright.models.loading import Loaded
from tunewright.models.looking import show
from tunewright.models.precision import chosen, chosen_device
from tunewright.models.saving import Saved
from tunewright.models.scoring import laid
from tunewright.models.shared_base import SharedBase
from tunewright.recipe import Recipe
from tunewright.schedules import Scaled
from tunewright.training import Checkpoints, Patience, Plan, State, Windows, train
from tunewright.training.checkpoint import restore
from tunewright.updates import Clip


@dataclass(frozen=True)
class Validated:
    """A validation: metrics by name, and whether it is the best so far."""

    step: int
    epoch: float
    metrics: Mapping[str, float | None]
    best: bool


@dataclass(frozen=True)
class Resumed:
    """Training goes on after `step`; `damaged` says which checkpoints could not be used."""

    step: int
    damaged: tuple[Problem, ...]


@dataclass
class Fit:
    """Everything that one training needs, and what it leaves. Made by `prepare_fit`."""

    recipe: Recipe
    kind: Kind
    model: Any
    forward: Any
    parameters: Parameters
    objective: Objective
    windows: Windows
    update: BoundUpdate
    plan: Plan
    validation: Encoded
    stopping: Patience
    rate: float
    notes: tuple[str, ...] = ()
    step: int = 0
    stopped_early: bool = False

    def validation_is_due(self, drawn_before: int) -> bool:
        """Whether the step that has just ended crossed into another epoch, or is one of every so many."""
        every, rows = self.recipe.training.validate_every, max(len(self.windows.lengths), 1)
        if every == "epoch":
            return self.windows.drawn // rows > drawn_before // rows
        return self.step % every == 0

    @property
    def validates(self) -> bool:
        """Whether there is anything to validate on."""
        return bool(self.validation.examples)

    def measured(self) -> tuple[dict[str, float | None], float | None]:
        """The validation split's metrics by the name that is shown, and the one that training goes by."""
        return measured(self.kind, self.forward, self.validation, self.recipe.training.stop.metric)

    def more(self) -> dict[str, Any]:
        """What else a checkpoint holds."""
        return {}

    def load_more(self, state: Mapping[str, Any]) -> None:
        """Takes up what `more` gave."""

    def epoch(self, step: int) -> float:
        """How many times the training set was seen after `step` steps, on average."""
        return round(self.windows.drawn / max(len(self.windows.lengths), 1), 4)


def rate_for(adaptation: Adaptation, parameters: int) -> float:
    """The learning rate of `rate: auto`: by what learns and the base model's size.

    Full fine-tuning takes what the models' authors recommend for their size; small added or few parameters bear more.
    """
    full = 1e-4 if parameters < 50e6 else 5e-5 if parameters < 200e6 else 2e-5
    return full * adaptation.rate_factor


def attached(recipe: Recipe, adaptation: Adaptation, loaded: Loaded) -> Any:
    """The loaded model with the recipe's adaptation.

    Raises:
        RecipeError: it does not fit the model, or nothing learns. OutOfMemory: what it adds does not fit the machine.
    """
    if hasattr(adaptation, "prepare"):
        adaptation = adaptation.prepare(loaded.tokenizer)
    with _memory("adaptation", "choose a smaller one, such as `adaptation: {lora: {rank: 8}}`, or a smaller model"):
        model = adaptation.attach(loaded.model, key(recipe.seed, "adaptation"))
    if not trainable(model):
        name = registry.name_of(adaptation)
        raise RecipeError(
            Problem(where="adaptation", found=f"{name} lets nothing learn: {type(loaded.model).__name__} has no new head",
                    to_do=f"put what learns after it, such as `adaptation: [{name}, {{lora: {{rank: 16}}}}]`")
        )  # fmt: skip
    return model


def prepare_fit(
    recipe: Recipe, kind: Kind, training: Sequence[Example], validation: Encoded, records: Sequence[Record] = ()
) -> Fit:
    """Builds the objects that the recipe names around a loaded model. Draws nothing at random but the adaptation.

    Args:
        records: those of `training`, for samplers that go by what was measured of them.
    """
    t, loaded = recipe.training, kind.loaded
    supervised = [e for e in training if e.target is not None]
    adaptation = registry.build("adaptation", recipe.adaptation)
    size = parameters_of(loaded.model)
    model = attached(recipe, adaptation, loaded)
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    live = rows.install(inner, [torch.from_numpy(tokens) for e in supervised for tokens in e.read()])
    model.to(chosen_device(recipe.model.device)).train()
    layout = None if recipe.model.layout == "auto" else recipe.model.layout
    precision = chosen(recipe.model.precision, recipe.model.device)
    show(adaptation, [(model, supervised)], layout, recipe.seed)
    examples = {e.id: e for e in supervised}
    lengths = {e.id: len(e) for e in supervised}
    plan = Plan.of(
        len(examples), sum(lengths.values()), epochs=t.epochs, batch=t.batch, batch_tokens=t.batch_tokens, limit=t.steps
    )
    keep = keeping(recipe, kind, plan.examples > len(examples))
    forward = ModelForward(model, layout=layout, precision=precision, scale=kind.scale, keep=keep)
    if plan.examples >= len(examples):
        foresee(forward, supervised)
    parameters = trainable(model)
    objective: Any = registry.build("objective", recipe.objective)
    if hasattr(objective, "prepare"):
        objective = objective.prepare(kind.facts(supervised))
    sampler = bound_sampler(t.sampler, kind, supervised, records, recipe.seed)
    windows = Windows(
        sampler,
        collate(examples, recipe.seed, kind.altered, forward.device),
        lengths,
        plan,
        micro_tokens=t.micro_tokens,
    )
    chain, rate = update_of(recipe, rate_for(adaptation, size) if t.rate == "auto" else float(t.rate))
    update = chain.bind(parameters)
    metric = t.stop.metric
    higher = metric != "loss" and registry.members(kind.task.family)[metric].better == "higher"  # type: ignore[attr-defined]
    return Fit(
        recipe, kind, model, forward, parameters, objective, windows, update, plan, validation,
        Patience(higher, t.stop.patience, t.stop.least), rate, training_notes(forward, live),
    )  # fmt: skip


def keeping(recipe: Recipe, kind: Kind, repeated: bool, share: int = 1) -> Keeping | None:
    """How much of what frozen layers below everything that learns make of the texts is kept; None for nothing.

    Args:
        repeated: whether rows are learnt more than once.
        share: among how many tasks the room is divided.
    """
    t = recipe.training.trunk
    moves = _unfreezes(registry.build("update", recipe.training.update))
    if t.keep == "off" or (t.keep == "auto" and (moves or not repeated)) or kind.altered is not None:
        return None  # where tokens are masked anew at each step, no text is read twice
    folder = None
    if t.keep == "disk":
        folder = Path(t.folder).expanduser() if t.folder else default_folder()
    return Keeping(t.limit // share, folder)


def _unfreezes(update: Any) -> bool:
    """Whether more and more layers learn as training goes on, so that what lies below them is hardly read twice."""
    return bool(getattr(update, "unfreeze", 0)) or (hasattr(update, "inner") and _unfreezes(update.inner))


def foresee(forward: ModelForward, training: Sequence[Example]) -> None:
    """Lets what is kept of the training set be computed at once."""
    if forward.trunk is not None:
        forward.trunk.foresee(lambda: (batch for _, batch in laid(training)))


def update_of(recipe: Recipe, rate: float) -> tuple[Any, float]:
    """The recipe's update with its rate and schedule, inside its clipping; and the peak rate.

    A number given as the update's own rate takes training.rate's place; a schedule given there is used as it stands.
    """
    t = recipe.training
    update, rate = _with_rate(registry.build("update", t.update), rate, registry.build("schedule", t.schedule))
    return Clip(t.clip, update) if t.clip is not None else update, rate


def _with_rate(update: Any, rate: float, schedule: Any) -> tuple[Any, float]:
    """The update, or the one that its wrappers hold, with the rate and its schedule; and the peak rate."""
    if hasattr(update, "inner"):
        inner, rate = _with_rate(update.inner, rate, schedule)
        return replace(update, inner=inner), rate
    if hasattr(update, "rate") and not callable(update.rate):
        rate = rate if update.rate is None else float(update.rate)
        update = replace(update, rate=Scaled(rate, schedule))
    return update, rate


def training_notes(forward: ModelForward, live: object) -> tuple[str, ...]:
    """Where training here differs from what the model's authors or another trainer would do."""
    config = forward.inner.config
    out = []
    dropped = next((getattr(config, n) for n in ("attention_probs_dropout_prob", "attention_dropout", "attn_pdrop")
                    if getattr(config, n, None)), 0)  # fmt: skip
    if dropped and forward.layout == "packed":
        out.append(f"attention dropout of {dropped} is not applied; dropout elsewhere is")
    if live is not None:
        out.append("embeddings of tokens that no training text holds stay as they are, without weight decay")
    depth = forward.trunk.frozen_with_dropout() if forward.trunk is not None else 0
    if depth:
        out.append(
            f"no dropout in what is frozen below everything that learns: the embeddings and {counted(depth, 'layer')}"
        )
    if forward.layout == "padded":
        out.append(f"{forward.kind} models are padded, not packed")
    return tuple(out)


def fit(
    job: Fit,
    checkpoints: Checkpoints,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Report | Validated | Resumed]:
    """Trains; yields every step's report and every validation. Goes on from the last whole checkpoint.

    Leaves the best weights in the model where the recipe keeps the best.

    Raises:
        Interrupted: `stop` said so; a checkpoint was written first.
        NotFinite: training diverged. OutOfMemory: with what to change.
    """
    start = _resume(job, checkpoints)
    if start.step or start.damaged:
        yield start
    t = job.recipe.training
    job.step, drawn = start.step, job.windows.drawn
    loop = train(
        job.forward, job.windows, job.objective, job.update, job.parameters, steps=job.plan.steps, start=job.step
    )
    with _memory("training", f"halve training.micro_tokens (now {t.micro_tokens}; the result stays the same), or choose "
                 "adaptation: lora, or a smaller model"):  # fmt: skip
        for report in () if job.stopped_early else loop:
            job.step = report.step + 1
            job.windows.sampler.observe(report)
            if hasattr(job.objective, "observe"):
                job.objective.observe(report)
            yield report
            before, drawn = drawn, job.windows.drawn
            last = job.step == job.plan.steps
            seen = None
            if job.validates and (last or job.validation_is_due(before)):
                seen = _validate(job, checkpoints)
                job.stopped_early = job.stopping.over and not last
            due = t.checkpoint_every is not None and job.step % t.checkpoint_every == 0
            if seen is not None:
                yield seen
            if due or last or seen is not None or job.stopped_early:
                checkpoints.save(_state(job))
            if job.stopped_early:
                break
            if stop() and not last:
                if not due and seen is None:
                    checkpoints.save(_state(job))
                raise Interrupted(
                    Problem(where="training", found=f"stopped after step {job.step} of {job.plan.steps}",
                            to_do="run the same command again: it goes on from there")
                )  # fmt: skip
    if t.keep == "best" and job.stopping.best_step:
        best = checkpoints.best()
        if best is None or best.step != job.stopping.best_step:
            raise RunDamaged(
                Problem(where=str(checkpoints.folder / "best"), found="the best weights are missing or damaged",
                        allowed=f"those of step {job.stopping.best_step}", to_do="train again with --fresh")
            )  # fmt: skip
        restore(job.parameters, best.weights)


class _memory:  # noqa: N801  (used as a statement)
    """Turns running out of memory into advice."""

    def __init__(self, where: str, to_do: str) -> None:
        self.where, self.to_do = where, to_do

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        text = str(error)
        if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
            isinstance(error, RuntimeError) and "can't allocate memory" in text
        ):
            raise OutOfMemory(
                Problem(where=self.where, found="the machine's memory does not suffice", to_do=self.to_do)
            ) from error


def _state(job: Fit) -> State:
    update = dict(job.update.state())
    tensors = update.pop("tensors", {})
    numbers = {"windows": job.windows.state(), "stopping": job.stopping.state(), "update": update,
               "stopped_early": job.stopped_early, **job.more()}  # fmt: skip
    if hasattr(job.objective, "state"):
        numbers["objective"] = job.objective.state()
    return State(job.step, {n: p.detach() for n, p in job.parameters.items()}, tensors, numbers)


def _resume(job: Fit, checkpoints: Checkpoints) -> Resumed:
    state, damaged = checkpoints.last()
    if state is None:
        return Resumed(0, tuple(damaged))
    restore(job.parameters, state.weights)
    job.update.load({**state.numbers["update"], "tensors": state.update})
    job.windows.load(state.numbers["windows"])
    job.stopping.load(state.numbers["stopping"])
    if hasattr(job.objective, "load") and "objective" in state.numbers:
        job.objective.load(state.numbers["objective"])
    job.load_more(state.numbers)
    job.stopped_early = bool(state.numbers["stopped_early"])
    return Resumed(state.step, tuple(damaged))


def opened(saved: Saved, recipe: Recipe | None = None, shared: SharedBase | None = None) -> tuple[Kind, ModelForward]:
    """A saved model ready to predict, and its task.

    Args:
        saved: as it was read.
        recipe: that of its run, where there is one.
        shared: the base that it was opened with, where others are opened on it too.
    """
    kind = reopen(saved, recipe)
    forward = ModelForward(
        saved.model, layout=saved.card.get("layout"), precision=saved.precision, scale=kind.scale, fixed=True,  # type: ignore[arg-type]
        laid=None if shared is None else shared.laid,
    )  # fmt: skip
    return kind, forward


def _validate(job: Fit, checkpoints: Checkpoints) -> Validated:
    for parameter in job.parameters.values():
        parameter.grad = None  # the next step makes its own; a validation has better use for the memory
    metrics, watched = job.measured()
    best = job.stopping.saw(watched, job.step)
    if best and job.recipe.training.keep == "best":
        checkpoints.save_best(job.step, job.parameters, {"metrics": metrics})
    return Validated(job.step, job.epoch(job.step), metrics, best)


def measured(
    kind: Kind, forward: ModelForward, validation: Encoded, wanted: str
) -> tuple[dict[str, float | None], float | None]:
    """A validation split's metrics by the name that is shown, and the one that is `wanted`."""
    found = kind.validated(forward, validation)
    known = registry.members(kind.task.family)
    names = dict(kind.task.shown)
    watched = next((shown for shown, name in names.items() if wanted in (shown, name)), wanted)
    names.setdefault(watched, wanted)
    metrics = {shown: known[name]().value(found) for shown, name in names.items()}
    return metrics, metrics[watched]
