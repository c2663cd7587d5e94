"""A recipe, carried out: read, baselines, train, predict, evidence, report. Every stage leaves a value in the folder.

`work` is a generator of events: it prints nothing. Stages whose inputs are unchanged are not done again, and a run that
was killed goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunewright import data as data_side
from tunewright.core.errors import DataError, Interrupted, Problem, RunDamaged, TunewrightError, counted
from tunewright.core.records import Record
from tunewright.core.tensors import Report, parameters_of
from tunewright.data_models import models_of
from tunewright.encoding import Refused
from tunewright.evaluation import Contender, gather, write_evidence
from tunewright.evaluation import predictions as predictions_files
from tunewright.fitting import Fit, fit, opened, prepare_fit
from tunewright.happenings import Event, happened, model_card, peak, trained, write_rate
from tunewright.identity import absolute, base_model, first_facts, identify, placed, refuse_another, with_rate
from tunewright.kinds import Encoded, Kind, Replies, begin, refusals
from tunewright.models import rows
from tunewright.models.forward import ModelForward
from tunewright.models.loading import find
from tunewright.models.precision import chosen, chosen_device
from tunewright.models.saving import open_saved, save
from tunewright.recipe import Recipe, families, parse, read, write
from tunewright.recipe_text import changed
from tunewright.reporting import render
from tunewright.running_together import TogetherJob
from tunewright.suiting import refuse_unsuited
from tunewright.tracking import RunFolder
from tunewright.training import Checkpoints


@dataclass(frozen=True)
class Outcome:
    """What a finished run leaves: its folder, its evidence, and where the report is."""

    folder: Path
    evidence: Mapping[str, Any]

    @property
    def verdict(self) -> str:
        """better, worse or can't tell."""
        return str(self.evidence["verdict"]["outcome"])

    @property
    def report(self) -> Path:
        return self.folder / "report.html"


def run(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    *,
    folder: str | Path | None = None,
    changes: Sequence[str] = (),
    fresh: bool = False,
) -> Outcome:
    """Carries out a recipe from file, mapping or object, and returns what it left.

    Raises:
        TunewrightError: see `tunewright.core.errors`.
    """
    prepared, base, default = _given(recipe, changes)
    place = Path(folder or prepared.folder or default)
    for _ in work(prepared, place, base=base, fresh=fresh):
        pass
    return Outcome(place, json.loads((place / "evidence.json").read_text(encoding="utf-8")))


def _given(recipe: Any, changes: Sequence[str]) -> tuple[Recipe, Path, str]:
    if isinstance(recipe, (str, Path)):
        path = Path(recipe)
        return read(path, changes), path.parent, f"runs/{path.stem}"
    if isinstance(recipe, Mapping):
        recipe = parse(changed(dict(recipe), changes))
    families()
    name = Path(recipe.data.train[0]).stem if recipe.data.train else recipe.task
    return recipe, Path(), f"runs/{name}"


def work(
    recipe: Recipe,
    place: Path,
    *,
    base: Path = Path(),
    fresh: bool = False,
    until: str = "report",
    retrain: bool = True,
    command: str = "",
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Carries out the stages up to `until` ("train", "predict" without baselines, or "report").

    Args:
        place: the run folder.
        base: what the recipe's paths are relative to.
        fresh: forget what an earlier run left in the folder.
        retrain: False refuses to train: only what comes after it is done.
        stop: asked after every step; True ends the run with a checkpoint.

    Raises:
        RunDamaged: the folder holds a run of another recipe, or is in use.
    """
    folder = RunFolder(place)
    with folder.locked():
        folder.claim()
        job: _Job | TogetherJob
        if recipe.task == "multitask":
            job = TogetherJob(placed(recipe, base), folder, base, command, stop, _Job, work)
        else:
            job = _Job(placed(recipe, base), folder, base, command, stop)
        job.begin(retrain, fresh)
        stages = job.stages(until)
        try:
            for stage in stages:
                yield from stage()
                if stop() and stage is not stages[-1]:
                    raise Interrupted(
                        Problem(
                            where=str(place), found="stopped", to_do="run the same command again: it goes on from there"
                        )
                    )
        except TunewrightError as error:
            with suppress(TunewrightError):
                folder.note({"status": "stopped" if isinstance(error, Interrupted) else "failed"})
            raise
        folder.note({"status": "finished" if until != "train" else "trained", "timings": job.timings})
        yield Event("finished", str(place))


class _Job:
    """The stages of one run, in order; each leaves its value in the folder."""

    def __init__(self, recipe: Recipe, folder: RunFolder, base: Path, command: str, stop: Callable[[], bool]) -> None:
        self.recipe, self.folder, self.base, self.command, self.stop = recipe, folder, base, command, stop
        self.options = recipe.options(base)
        self.timings: dict[str, float] = {}
        self.splits: dict[str, list[Record]] = {}
        self.encoded: dict[str, Encoded] = {}
        self.kind: Kind
        self.tuned: ModelForward | None = None
        self.prepared: data_side.Prepared | None = None
        self.fingerprint = ""
        self.began = time.perf_counter()

    def stages(self, until: str) -> list[Callable[[], Iterator[Event]]]:
        """What is done, in order."""
        if until == "report":
            return [self.prepare, self.load_model, self.baselines, self.train, self.predict, self.judge]
        return [self.prepare, self.load_model, self.train, *([self.predict] if until == "predict" else [])]

    def begin(self, retrain: bool, fresh: bool) -> None:
        """Checks that the folder is free or holds this very run; writes the recipe with every default.

        A run that is there goes only when what shall take its place has a model and data that can be read.
        """
        chosen_device(self.recipe.model.device)
        self.found = find(base_model(self.recipe, self.base), self.recipe.model.revision)
        known = {} if fresh else self.folder.facts()
        if not retrain and not (self.folder.stages.exists() and self.folder.model.is_dir()):
            raise RunDamaged(
                Problem(where=str(self.folder.path), found="no trained model is here", to_do="`tunewright train` first")
            )
        identity = identify(self.recipe, self.base, self.found, known)
        refuse_another(self.folder, identity, known)
        self.fingerprint = identity.fingerprint
        if fresh:
            self.prepared = self.read()
            self.folder.clear()
        self.timings = dict(known.get("timings", {}))
        asked = self.command if retrain else ""
        self.folder.note(first_facts(self.recipe, self.folder, identity, self.found, known, asked))
        written = absolute(self.recipe, self.base, self.found)
        if known.get("rate_was_auto") and written.training.rate == "auto":
            written = with_rate(written, known["rate"])
        write(written, self.folder.recipe)

    def read(self) -> data_side.Prepared:
        """The data from their files."""
        prepared = data_side.prepare(
            data_side.gather(self.options), self.options, self.recipe.seed, models_of(self.recipe, self.base)
        )
        _enough(prepared.splits, self.recipe.task)
        return prepared

    def prepare(self) -> Iterator[Event]:
        """Reads, cleans and splits; the ledger must balance."""
        yield Event("stage", "data")
        if not self.folder.done("data", self.fingerprint):
            began = time.perf_counter()
            prepared = self.prepared or self.read()
            data_side.write(prepared, self.folder.data)
            sizes = {name: len(part) for name, part in prepared.splits.items()}
            self.folder.note({"data": {"files": [f.as_json() for f in prepared.files], "splits": sizes}})
            self.folder.finish("data", self.fingerprint)
            self.timings["read"] = round(time.perf_counter() - began, 3)
            for warning in prepared.warnings:
                yield Event("note", str(warning))
        self.splits = data_side.load(self.folder.data)
        ledger = json.loads((self.folder.data / "ledger.json").read_text(encoding="utf-8"))
        sizes = {name: len(part) for name, part in self.splits.items()}
        yield Event("data", "", {"splits": sizes, "ledger": ledger, "card": self._card()})

    def _card(self) -> dict[str, Any]:
        card: dict[str, Any] = json.loads((self.folder.data / "card.json").read_text(encoding="utf-8"))
        return card

    def load_model(self) -> Iterator[Event]:
        """The base model and every split's examples."""
        yield Event("stage", "model")
        began = time.perf_counter()
        self.kind = begin(self.recipe, self.found, self.splits)
        self.encoded = {name: self.kind.encode(part, name == "train") for name, part in self.splits.items()}
        left = {name: part.left for name, part in self.encoded.items()}
        data_side.set_aside(self.folder.data, self.splits, left)
        self.splits = {name: part.records for name, part in self.encoded.items()}
        _enough(self.splits, self.recipe.task, left)
        refuse_unsuited(self.recipe, self.encoded["train"].examples)
        loaded, limit, cut = self.kind.loaded, self.kind.limit, self.encoded["train"].cut
        self.timings["load"] = round(time.perf_counter() - began, 3)
        facts = {
            **self.folder.facts()["model"],
            "parameters": parameters_of(loaded.model),
            "architecture": type(loaded.model).__name__,
            "precision": chosen(self.recipe.model.precision, self.recipe.model.device),
            "head": loaded.head,
            "max_tokens": limit,
            "texts_cut": cut,
        }
        self.folder.note({"model": facts})
        for sentence in self.kind.notes():
            yield Event("note", sentence)
        why = refusals(left)
        if why:
            yield Event("note", f"left out: {why}")
        if cut:
            yield Event("note", f"{cut} of {len(self.splits['train'])} training texts {'is' if cut == 1 else 'are'} longer "
                        f"than {limit} tokens and cut there (model.max_tokens)")  # fmt: skip
        yield Event("model", self.found.name, facts)
        self.kind.between = self._pause
        kept, key = self.folder.path / "reference", self.fingerprint
        if not self.folder.done("train", self.fingerprint) or not self.folder.done("predict", self._writing()):
            self.encoded = self.kind.ready(self.encoded, self.recipe, kept, key)

    def _writing(self) -> str:
        """What predictions depend on: the training, and how texts are written."""
        return hashlib.sha256(f"{self.fingerprint}{self.recipe.generation}".encode()).hexdigest()

    def _pause(self) -> None:
        """Asked between the steps of what takes long.

        Raises:
            Interrupted: the run shall stop.
        """
        if self.stop():
            raise Interrupted(
                Problem(
                    where=str(self.folder.path),
                    found="stopped",
                    to_do="run the same command again: it goes on from there",
                )
            )

    def baselines(self) -> Iterator[Event]:
        """The ladder below the tuned model, on the same items."""
        asked = f"{self.fingerprint}{self.recipe.evaluation.baselines}{self.recipe.generation}"
        key = hashlib.sha256(asked.encode()).hexdigest()
        if self.folder.done("baselines", key) and self._predicted("test", *self.recipe.evaluation.baselines):
            return
        yield Event("stage", "baselines")
        began = time.perf_counter()
        made = list[Contender]()
        for name in self.recipe.evaluation.baselines:
            yield Event("note_quiet", f"baseline {name}")
            made.append(self.kind.baseline(name, self.recipe, self.splits, lambda: self.encoded))
        for contender in made:
            predictions_files.write(self.folder.path, contender)
        self.folder.finish("baselines", key)
        self.timings["baselines"] = round(time.perf_counter() - began, 3)

    def _predicted(self, split: str, *names: str) -> bool:
        """Whether the predictions are there; a file that was removed, as it was damaged, is made again."""
        return all((self.folder.path / "predictions" / f"{name}.{split}.jsonl").is_file() for name in names)

    def train(self) -> Iterator[Event]:
        """Trains, or finds that it was done; leaves the tuned model in `model/`."""
        if self.folder.done("train", self.fingerprint) and self.folder.model.is_dir():
            yield Event("note_quiet", "training is done already")
            return
        yield Event("stage", "train")
        began = time.perf_counter()
        rows = self.encoded["train"]
        job = prepare_fit(self.recipe, self.kind, rows.examples, self.encoded["validation"], rows.records)
        facts = {**self.folder.facts()["model"], "layout": job.forward.layout,
                 "trainable": sum(p.numel() for p in job.parameters.values())}  # fmt: skip
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
        self._finish_training(job, spent, tokens)

    def _finish_training(self, job: Fit, spent: float, tokens: int) -> None:
        adaptation = self.recipe.adaptation_name
        self.kind.settle(job.forward, self.encoded["validation"])
        job.forward.release()
        inner = job.model.get_base_model() if hasattr(job.model, "get_base_model") else job.model
        rows.remove(inner)
        extra = model_card(self.recipe, self.kind, job.forward)
        save(self.kind.loaded, job.model, self.folder.model, adaptation_name=adaptation, extra=extra)
        self.tuned = ModelForward(
            job.model, layout=job.forward.layout, precision=job.forward.precision, scale=self.kind.scale, fixed=True,
            keep=job.forward.trunk.keep if job.forward.trunk is not None and self.recipe.training.trunk.keep == "disk" else None,
        )  # fmt: skip
        self.folder.note(trained(job, self.timings["train"], spent, tokens))
        self.folder.finish("train", self.fingerprint)
        Checkpoints(self.folder.checkpoints, self.fingerprint).clear()

    def predict(self) -> Iterator[Event]:
        """The tuned model's word on every test and validation item."""
        key = self._writing()
        if self.folder.done("predict", key) and self._predicted("test", "tuned"):
            return
        yield Event("stage", "predict")
        if self.tuned is None:
            self.kind, self.tuned = opened(open_saved(self.folder.model), self.recipe)
            self.kind.between = self._pause
        began = time.perf_counter()
        title = f"Fine-tuned {Path(self.recipe.model.name).name}"
        for split in ("test", "validation"):
            if self.encoded[split].examples:
                found = self.kind.judged(self.tuned, self.encoded[split], "tuned", split)
                predictions_files.write(self.folder.path, Contender(found, title, "tuned"))
        spent = time.perf_counter() - began
        self._vary(title)
        n = len(self.splits["test"]) + len(self.splits["validation"])
        speed = {**self.folder.facts().get("speed", {}), "predict_examples_per_second": round(n / spent, 1)}
        self.folder.note({"speed": {**speed, "peak_memory_mib": max(peak(), speed.get("peak_memory_mib") or 0)}})
        self.timings["predict"] = round(spent, 3)
        self.folder.finish("predict", key)

    def _vary(self, title: str) -> None:
        """Where texts are drawn or searched for, what the same model writes greedily: a contender of its own."""
        greedy = self.kind.greedy() if isinstance(self.kind, Replies) else None
        place = self.folder.path / "predictions" / "tuned_greedy.test.jsonl"
        if greedy is None or self.tuned is None:
            place.unlink(missing_ok=True)  # of an earlier choice
            return
        found = greedy.judged(self.tuned, self.encoded["test"], "tuned_greedy", "test")
        predictions_files.write(self.folder.path, Contender(found, f"{title}, greedy", "variant"))

    def judge(self) -> Iterator[Event]:
        """Evidence from the predictions alone, and the report."""
        yield Event("stage", "evidence")
        began = time.perf_counter()
        wanted = self.recipe.evaluation
        contenders = [
            c for c in predictions_files.read_all(self.folder.path, "test")
            if c.role != "baseline" or c.name in wanted.baselines
        ]  # fmt: skip
        evidence = gather(
            contenders, metric=wanted.metric, confidence=wanted.confidence, resamples=wanted.resamples,
            seed=self.recipe.seed,
        )  # fmt: skip
        write_evidence(self.folder.path, evidence)
        self.timings["evidence"] = round(time.perf_counter() - began, 3)
        self.timings["total"] = round(time.perf_counter() - self.began, 3)
        self.folder.note({"timings": self.timings, "status": "finished"})
        render(self.folder.path)
        yield Event("verdict", str(evidence["verdict"]["outcome"]), evidence)


def _enough(
    splits: Mapping[str, Sequence[Record]], task: str, left: Mapping[str, Sequence[Refused]] | None = None
) -> None:
    """Refuses a training set that teaches nothing and a test set that could prove nothing.

    Args:
        left: the rows that cannot be encoded, which may be why.
    """
    problems = []
    why = refusals(left or {})
    if why and (not splits["train"] or len(splits["test"]) < 2):
        problems.append(Problem(where="data", found=why, to_do="mend these rows, or choose another model or limit"))
    if not splits["train"]:
        problems.append(
            Problem(where="data, train split", found="no row is left", to_do="see the ledger for the reasons")
        )
    test = [r for r in splits["test"] if r.label is not None or task == "language_modeling"]
    texts = {(r.text, r.pair) for part in splits.values() for r in part}
    if len(test) < 2:
        problems.append(
            Problem(where="data, test split", found=counted(len(test), "labelled row"), allowed="at least 2, better 200",
                    to_do="bring more rows, or raise data.shares.test" if len(texts) > 9 else
                    f"all rows have {counted(len(texts), 'text or prompt', 'texts or prompts')}, and one is never in two splits")
        )  # fmt: skip
    if problems:
        raise DataError(*problems)
