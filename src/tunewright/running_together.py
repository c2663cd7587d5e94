"""The stages of a run of several tasks. Each task has a folder of its own, which is a run's as if it were alone:

runs/both/
  recipe.yaml run.json history.jsonl evaluations.jsonl checkpoints/     of the training together
  tasks/sentiment/           data, predictions, evidence, the tuned model: what `predict` and `evaluate` read
    alone/                   the run of this task alone, where `evaluation.transfer` asks for it
  evidence.json report.html  of all tasks, and whether they helped one another
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tunewright import data as data_side
from tunewright.core.errors import Problem, RunDamaged, TunewrightError
from tunewright.core.tensors import Report
from tunewright.evaluation import Contender, Plan, write_evidence
from tunewright.evaluation import predictions as predictions_files
from tunewright.evaluation.transfer import Pair, several, transfer
from tunewright.fitting import fit
from tunewright.happenings import Event, happened, model_card, trained, write_rate
from tunewright.identity import absolute, base_model, first_facts, identify, refuse_another, with_rate
from tunewright.kinds import Encoded, Kind
from tunewright.models.loading import find
from tunewright.models.precision import chosen_device
from tunewright.models.saving import save
from tunewright.models.several import remove_rows
from tunewright.recipe import Recipe, write
from tunewright.reporting import render
from tunewright.together import OneTask, Together, prepare_together
from tunewright.tracking import RunFolder
from tunewright.training import Checkpoints

Work = Callable[..., Iterator[Event]]
T = TypeVar("T")


class Single(Protocol):
    """The stages of one task's run."""

    recipe: Recipe
    folder: RunFolder
    fingerprint: str
    kind: Kind
    encoded: dict[str, Encoded]
    prepared: data_side.Prepared | None

    def begin(self, retrain: bool, fresh: bool) -> None: ...
    def read(self) -> data_side.Prepared: ...
    def prepare(self) -> Iterator[Event]: ...
    def load_model(self) -> Iterator[Event]: ...
    def baselines(self) -> Iterator[Event]: ...
    def predict(self) -> Iterator[Event]: ...
    def judge(self) -> Iterator[Event]: ...


class TogetherJob:
    """The stages of a run of several tasks, in order.

    Args:
        make: makes the stages of one task's run; work: carries out a run (both are `running`'s).
    """

    def __init__(
        self, recipe: Recipe, folder: RunFolder, base: Path, command: str, stop: Callable[[], bool],
        make: Callable[..., Single], work: Work,
    ) -> None:  # fmt: skip
        self.recipe, self.folder, self.base, self.command, self.stop = recipe, folder, base, command, stop
        self.work = work
        self.jobs = {
            name: make(part, RunFolder(folder.path / "tasks" / name), base, command, stop)
            for name, part in recipe.parts().items()
        }
        self.timings: dict[str, float] = {}
        self.fingerprint, self.retrain = "", True
        self.began = time.perf_counter()

    def stages(self, until: str) -> list[Callable[[], Iterator[Event]]]:
        """What is done, in order."""
        first = [self.prepare, self.load_model]
        if until == "train":
            return [*first, self.train]
        return [*first, self.baselines, self.train, self.alone, self.predict, self.judge]

    def begin(self, retrain: bool, fresh: bool) -> None:
        """As of one task: checks that the folder is free or holds this very run; writes the recipe with every default."""
        chosen_device(self.recipe.model.device)
        found = find(base_model(self.recipe, self.base), self.recipe.model.revision)
        known = {} if fresh else self.folder.facts()
        if not retrain and not self.folder.stages.exists():
            raise RunDamaged(
                Problem(where=str(self.folder.path), found="no trained model is here", to_do="`tunewright train` first")
            )
        identity = identify(self.recipe, self.base, found, known)
        refuse_another(self.folder, identity, known)
        self.fingerprint, self.retrain = identity.fingerprint, retrain
        if fresh:
            for name, job in self.jobs.items():
                job.prepared = _named(name, job.read)
            self.folder.clear()
        self.timings = dict(known.get("timings", {}))
        asked = self.command if retrain else ""
        self.folder.note(first_facts(self.recipe, self.folder, identity, found, known, asked))
        written = absolute(self.recipe, self.base, found)
        if known.get("rate_was_auto") and written.training.rate == "auto":
            written = with_rate(written, known["rate"])
        write(written, self.folder.recipe)
        for name, job in self.jobs.items():
            job.folder.path.mkdir(parents=True, exist_ok=True)
            job.begin(retrain, False)
            job.fingerprint = hashlib.sha256(f"{self.fingerprint}{name}".encode()).hexdigest()

    def _each(self, stage: str, name: str) -> Iterator[Event]:
        """One stage of every task, told as one."""
        began = time.perf_counter()
        told = False
        for task, job in self.jobs.items():
            for event in _of(task, getattr(job, stage)()):
                if event.kind == "stage":
                    if not told:
                        yield Event("stage", name)
                    told = True
                elif event.kind in ("note", "note_quiet"):
                    yield Event(event.kind, f"{task}: {event.name}", event.values)
                elif event.kind == "data":
                    yield Event("data", task, event.values)
                elif event.kind != "verdict":
                    yield event
        if told:
            self.timings[name] = round(time.perf_counter() - began, 3)

    def prepare(self) -> Iterator[Event]:
        """Every task's data."""
        yield from self._each("prepare", "data")
        splits: dict[str, int] = {}
        files = []
        for job in self.jobs.values():
            facts = job.folder.facts()["data"]
            files += facts["files"]
            for name, n in facts["splits"].items():
                splits[name] = splits.get(name, 0) + n
        self.folder.note({"data": {"files": files, "splits": splits}})

    def load_model(self) -> Iterator[Event]:
        """Every task's model and examples."""
        yield from self._each("load_model", "model")
        facts = [job.folder.facts()["model"] for job in self.jobs.values()]
        self.folder.note({"model": {**self.folder.facts()["model"], **facts[0]}})

    def baselines(self) -> Iterator[Event]:
        """Every task's ladder."""
        yield from self._each("baselines", "baselines")

    def train(self) -> Iterator[Event]:
        """Trains all tasks together, or finds that it was done; leaves each task's tuned model in its folder."""
        if self.folder.done("train", self.fingerprint) and all(j.folder.model.is_dir() for j in self.jobs.values()):
            yield Event("note_quiet", "training is done already")
            return
        yield Event("stage", "train")
        began = time.perf_counter()
        job = prepare_together(self.recipe, {n: OneTask(j.recipe, j.kind, j.encoded) for n, j in self.jobs.items()})
        facts = {**self.folder.facts()["model"], "layout": job.forward.of(next(iter(self.jobs))).layout,
                 "parameters": job.size, "trainable": sum(p.numel() for p in job.parameters.values())}  # fmt: skip
        self.folder.note({"model": facts, "changed_method": list(job.notes), "rate": job.rate})
        write_rate(self.folder, job.rate)
        yield Event("plan", "", {"steps": job.plan.steps, "rate": job.rate})
        checkpoints = Checkpoints(self.folder.checkpoints, self.fingerprint)
        fresh = checkpoints.last()[0] is None
        if fresh:
            self.folder.cut(self.folder.history, 0)
            self.folder.cut(self.folder.evaluations, 0)
        tokens = 0
        for happening in fit(job, checkpoints, self.stop):
            if isinstance(happening, Report):
                tokens += sum(job.windows.lengths[i] for i in happening.rows)
            yield happened(happening, job, self.folder)
        self.folder.close()
        spent = time.perf_counter() - began
        self.timings["train"] = round(spent + (0 if fresh else self.timings.get("train", 0)), 3)
        self._keep(job)
        self.folder.note(trained(job, self.timings["train"], spent, tokens))
        self.folder.finish("train", self.fingerprint)
        Checkpoints(self.folder.checkpoints, self.fingerprint).clear()

    def _keep(self, job: Together) -> None:
        """Saves each task's model, whole, with the body that all have learnt."""
        objective: Any = job.objective
        objective.release()
        for name, part in job.parts.items():
            part.kind.settle(job.forward.of(name), part.encoded["validation"])
        job.forward.release()
        remove_rows(job.models)
        adaptation = self.recipe.adaptation_name
        weights = objective.weights()
        for name, single in self.jobs.items():
            extra = model_card(single.recipe, single.kind, job.forward.of(name))
            save(single.kind.loaded, job.models[name], single.folder.model, adaptation_name=adaptation, extra=extra)
            single.folder.note({"model": {**single.folder.facts()["model"], "layout": extra["layout"]}})
            single.folder.finish("train", single.fingerprint)
        self.folder.note({"weights": weights})

    def alone(self) -> Iterator[Event]:
        """Trains each task alone, as an ordinary run of the same recipe, and predicts the same items."""
        if not self.recipe.evaluation.transfer:
            return
        yield Event("stage", "alone")
        began = time.perf_counter()
        for name, job in self.jobs.items():
            yield Event("note_quiet", f"{name} alone")
            inner = self.work(
                job.recipe,
                job.folder.path / "alone",
                base=self.base,
                until="predict",
                retrain=self.retrain,
                stop=self.stop,
            )
            for event in inner:
                if event.kind in ("plan", "step", "resumed", "validation", "finished"):
                    yield event
        self.timings["alone"] = round(time.perf_counter() - began, 3)

    def predict(self) -> Iterator[Event]:
        """Each task's items, by its saved model."""
        yield from self._each("predict", "predict")

    def judge(self) -> Iterator[Event]:
        """Each task's evidence, the transfer between them, and the report."""
        yield from self._each("judge", "evidence")
        wanted = self.recipe.evaluation
        plan = Plan(wanted.resamples, wanted.confidence, self.recipe.seed)
        tasks = {
            name: json.loads((job.folder.path / "evidence.json").read_text(encoding="utf-8"))
            for name, job in self.jobs.items()
        }
        moved = transfer(self._pairs(), plan) if wanted.transfer else []
        evidence = several(tasks, moved, self.folder.facts()["weights"], plan)
        write_evidence(self.folder.path, evidence)
        self.timings["total"] = round(time.perf_counter() - self.began, 3)
        self.folder.note({"timings": self.timings, "status": "finished"})
        render(self.folder.path)
        yield Event("verdict", str(evidence["verdict"]["outcome"]), evidence)

    def _pairs(self) -> Mapping[str, Pair]:
        found = {}
        for name, job in self.jobs.items():
            both = [_tuned(path) for path in (job.folder.path / "alone", job.folder.path)]
            found[name] = Pair(job.recipe.evaluation.metric, both[0].predictions, both[1].predictions)
        return found


def _named(task: str, act: Callable[[], T]) -> T:
    """The value of `act`; its problems name the task."""
    try:
        return act()
    except TunewrightError as error:
        raise type(error)(*(replace(p, where=f"tasks.{task}, {p.where}") for p in error.problems)) from error


def _of(task: str, events: Iterator[Event]) -> Iterator[Event]:
    """The events of one task's stage; its problems name the task.

    Raises:
        TunewrightError: what the stage raises.
    """
    try:
        yield from events
    except TunewrightError as error:
        raise type(error)(*(replace(p, where=f"tasks.{task}, {p.where}") for p in error.problems)) from error


def _tuned(folder: Path) -> Contender:
    return next(c for c in predictions_files.read_all(folder, "test") if c.role == "tuned")
