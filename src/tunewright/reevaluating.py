"""What can be asked of a run that is there: its recipe, its facts, other rows, another run beside it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tunewright import data as data_side
from tunewright.core.errors import DataError, ModelError, Problem, RunDamaged
from tunewright.core.files import sha256, write_json
from tunewright.core.records import Record
from tunewright.evaluation import Contender, gather
from tunewright.evaluation import predictions as predictions_files
from tunewright.fitting import opened
from tunewright.identity import base_model
from tunewright.kinds import Encoded, Kind, begin, refusals
from tunewright.models.loading import find
from tunewright.models.saving import Saved, open_saved
from tunewright.predicting import part_of
from tunewright.recipe import Recipe, families, read
from tunewright.tasks import TASKS
from tunewright.tracking import RunFolder


def recipe_of(run_folder: Path) -> Recipe:
    """The recipe that a run was made from.

    Raises:
        RunDamaged: the folder is no run.
    """
    path = run_folder / "recipe.yaml"
    if not path.is_file():
        raise RunDamaged(
            Problem(where=str(run_folder), found="it holds no recipe.yaml", allowed="the folder of a run",
                    to_do="`tunewright runs list` shows the runs")
        )  # fmt: skip
    return read(path)


def judge_on(run_folder: Path, data: Path, task: str = "") -> tuple[Path, dict[str, Any]]:
    """Judges a run's model and its baselines on other labelled rows; keeps the predictions beside the run.

    Of a run of several tasks it is the one named `task`. A model in a folder of its own (merged, combined) is judged beside
    the baselines of the run that it came from.

    The baselines are the run's own, fitted again on its training rows. One whose base model is gone is left out with
    the reason. Rows that training has seen are left out and counted.

    Raises:
        DataError: the file has not the run's columns, or no labelled row. RunDamaged: there is no tuned model.
    """
    run_folder = part_of(run_folder, task)
    run = run_of(run_folder)
    recipe = recipe_of(run)
    families()
    saved = _saved(run_folder)
    splits = data_side.load(run / "data")
    items, left_out = items_of(run, recipe, saved, splits, data)
    place = run_folder / "evaluations" / data.stem
    kind, forward = opened(saved, recipe)
    encoded = kind.encode(items, learn=False)
    if encoded.left:
        left_out["that cannot be encoded"] = len(encoded.left)
    if not encoded.records:
        raise DataError(Problem(where=str(data), found=refusals({"test": encoded.left})))
    splits, items = {**splits, "test": encoded.records}, encoded.records
    if recipe.task == "preference":
        encoded = _referred(run, recipe, splits, encoded, data)
    told = kind.judged(forward, encoded, "tuned", "test")
    tuned = Contender(told, f"Fine-tuned {Path(recipe.model.name).name}", "tuned")
    made, missing = _baselines(run, recipe, kind, splits)
    made.insert(0, tuned)
    for contender in made:
        predictions_files.write(place, contender)
    wanted = recipe.evaluation
    evidence = gather(
        made, metric=wanted.metric, confidence=wanted.confidence, resamples=wanted.resamples, seed=recipe.seed
    )
    evidence["data"] = {"file": str(data), "items": len(items), "left_out": sum(left_out.values()), "why": left_out,
                        "baselines_left_out": missing}  # fmt: skip
    write_json(place / "evidence.json", evidence)
    return place, evidence


def _referred(
    run_folder: Path, recipe: Recipe, splits: Mapping[str, Sequence[Record]], items: Encoded, data: Path
) -> Encoded:
    """The items with what the base model gives their replies, from which a policy's rewards are measured."""
    known = f"{RunFolder(run_folder).facts().get('fingerprint')} {sha256(data)}"
    place = run_folder / "evaluations" / data.stem / "reference"
    return base_of(run_folder, recipe, splits).ready({"test": items}, recipe, place, known)["test"]


def _baselines(
    run_folder: Path, recipe: Recipe, kind: Kind, splits: Mapping[str, Sequence[Record]]
) -> tuple[list[Contender], dict[str, str]]:
    """The run's baselines on the test split, and why one is missing."""
    made = list[Contender]()
    missing: dict[str, str] = {}
    for name in recipe.evaluation.baselines:
        try:
            below = base_of(run_folder, recipe, splits) if name in ("linear", "untuned") else kind

            def encoded(below: Kind = below) -> dict[str, Encoded]:
                return {part: below.encode(rows, part == "train") for part, rows in splits.items()}

            made.append(below.baseline(name, recipe, splits, encoded))
        except ModelError as error:
            missing[name] = error.problems[0].found
    return made, missing


def items_of(
    run_folder: Path, recipe: Recipe, saved: Saved, splits: Mapping[str, Sequence[Record]], data: Path
) -> tuple[list[Record], dict[str, int]]:
    """The rows of a file that a model can be judged on, and how many are left out for which reason."""
    options = replace(recipe.options(), train=(), validation=(), test=(str(data.resolve()),))
    card = json.loads((run_folder / "data" / "card.json").read_text(encoding="utf-8"))
    options = replace(options, separator=card.get("separator"))
    target = data_side.target_of(options)
    known = saved.card.get("types") or saved.labels  # the tags of spans are the head's labels, their types the answers'
    rows = data_side.read(data, options.columns, options.form, None, target)
    seen = {(r.text, r.pair) for part in ("train", "validation") for r in splits[part]}
    items, why = list[Record](), Counter[str]()
    for i, (row, (label, reason)) in enumerate(zip(rows.rows, data_side.answers(rows, options), strict=True)):
        if label is None and target.needs_label:
            why["without a label" if reason == "missing_label" else f"whose label is no answer ({reason})"] += 1
        elif not row.text or not row.text.strip():
            why["without a text"] += 1
        elif label is not None and not target.knows(label, known):
            why["with a label that the model does not know"] += 1
        elif (row.text.strip(), row.pair) in seen:
            why["seen in training"] += 1
        else:
            items.append(Record(f"{data.stem}-{i}", row.text.strip(), label, row.source, row.pair))
    if rows.events:
        why["that could not be read"] = len(rows.events)
    if not items:
        raise DataError(
            Problem(where=str(data), found="no row with a known label that training has not seen" if known
                    else f"no row that can be judged: {', '.join(f'{n} {reason}' for reason, n in why.items()) or 'it is empty'}",
                    allowed=f"labels {', '.join(known)}" if known else "", to_do="check the columns and labels")
        )  # fmt: skip
    return items, dict(why)


def base_of(run_folder: Path, recipe: Recipe, splits: Mapping[str, Sequence[Record]]) -> Kind:
    """The task with the base model that a run began with.

    Raises:
        ModelError: it is gone, or another one lies in its place.
    """
    found = find(base_model(recipe, Path()), recipe.model.revision)
    if found.fingerprint()[0] != RunFolder(run_folder).facts().get("model", {}).get("sha256"):
        raise ModelError(
            Problem(where=f"model {found.name}", found="the base model is not the one of the run any more")
        )
    return begin(recipe, found, splits)


def run_of(folder: Path) -> Path:
    """The run that a folder is, or that the model in it came from; the folder itself where none is known."""
    if (folder / "recipe.yaml").is_file():
        return folder
    try:
        card = json.loads((folder / "tunewright.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return folder
    above = [folder.absolute().parent, *([Path(card["run"])] if isinstance(card, dict) and card.get("run") else [])]
    return next((path for path in above if (path / "recipe.yaml").is_file()), folder)


def _saved(run_folder: Path) -> Saved:
    path = run_folder / "model" if (run_folder / "model").is_dir() else run_folder
    if not path.is_dir() or not (path / "tunewright.json").exists():
        raise RunDamaged(
            Problem(where=str(run_folder), found="no tuned model is here", to_do="`tunewright run RECIPE` makes one")
        )
    return open_saved(path)


def facts_of(run_folder: Path) -> dict[str, Any]:
    """Recipe, facts and verdict of a run.

    Raises:
        RunDamaged: the folder is no run.
    """
    recipe = recipe_of(run_folder)
    folder = RunFolder(run_folder)
    evidence = folder.findings()
    if recipe.task == "multitask":
        own = {name: facts_of(run_folder / "tasks" / name)["figures"] for name in evidence.get("tasks", {})}
        figures = {f"{name}/{who}": rows for name, found in own.items() for who, rows in found.items()}
        return {"recipe": recipe.dump(), "run": folder.facts(), "verdict": evidence.get("verdict"), "figures": figures}
    deciding = (evidence.get("verdict") or {}).get("metric") or "accuracy"
    shown = dict.fromkeys([deciding, *TASKS[recipe.task].shown.values()])
    figures = {
        c["name"]: {name: c["metrics"][name] for name in shown if name in c["metrics"]}
        for c in evidence.get("contenders", [])
    }
    return {"recipe": recipe.dump(), "run": folder.facts(), "verdict": evidence.get("verdict"), "figures": figures}


_COMPONENTS = ("adaptation", "objective", "training.schedule", "training.update", "training.sampler")
_OF_A_RUN = ("tunewright", "status", "training", "model.trainable", "model.precision", "machine", "versions")


def difference(first: Path, second: Path) -> list[dict[str, Any]]:
    """In what two runs differ: recipe, inputs, how training went, verdict, figures. What follows from these is left out.

    Inputs are told apart by what they hold: the same file elsewhere is no difference.
    """
    facts = [facts_of(path) for path in (first, second)]
    sides = [_sides(each) for each in facts]
    held = [
        {role: [sha for _, sha in files] for role, files in each["run"].get("inputs", {}).items()} for each in facts
    ]
    for role in [role for role in held[0] if held[0][role] == held[1].get(role)]:
        for side in sides:
            side.pop(f"inputs.{role}", None)
    for name in _COMPONENTS:  # of another component the options cannot be set side by side
        _together(sides, f"recipe.{name}")
    return [
        {"what": name, "first": sides[0].get(name), "second": sides[1].get(name)}
        for part in ("recipe.", "inputs.", "run.", "verdict.", "figures.")
        for name in dict.fromkeys([*sides[0], *sides[1]])
        if name.startswith(part) and sides[0].get(name) != sides[1].get(name)
    ]


def _sides(facts: dict[str, Any]) -> dict[str, Any]:
    """What of a run is worth setting beside another's, by dotted names."""
    run, recipe = facts["run"], _flat(facts["recipe"], "recipe")
    places = ("recipe.folder", "recipe.data.train", "recipe.data.validation", "recipe.data.test", "recipe.model.name")
    kept = {name: value for name, value in recipe.items() if name not in places}
    inputs = {
        f"inputs.{role}": [f"{name} {sha[:8]}" for name, sha in files] for role, files in run.get("inputs", {}).items()
    }
    model = run.get("model", {})
    inputs["inputs.model"] = [f"{model.get('name')} {str(model.get('sha256'))[:8]}"]
    flat = _flat(run, "run")
    wanted = {n: v for n, v in flat.items() if any(n == f"run.{o}" or n.startswith(f"run.{o}.") for o in _OF_A_RUN)}
    wanted.pop("run.training.planned_steps", None)
    verdict = {f"verdict.{name}": (facts["verdict"] or {}).get(name) for name in ("outcome", "against", "metric")}
    figures = {
        f"figures.{contender}.{name}": _with_interval(figure)
        for contender, metrics in facts["figures"].items()
        for name, figure in metrics.items()
    }
    return {**kept, **{name: ", ".join(of) for name, of in inputs.items() if of}, **wanted, **verdict, **figures}


def _with_interval(figure: Mapping[str, Any]) -> str | None:
    if figure.get("value") is None:
        return None
    if figure.get("low") is None:
        return f"{figure['value']:.4f}"
    return f"{figure['value']:.4f} ({figure['low']:.4f} to {figure['high']:.4f})"


def _together(sides: Sequence[dict[str, Any]], place: str) -> None:
    """One entry for a component in both sides where they name different ones."""
    own = [{name: side[name] for name in side if name.startswith(f"{place}.")} for side in sides]
    names = [{name.removeprefix(f"{place}.").partition(".")[0] for name in options} for options in own]
    if names[0] == names[1]:
        return
    for side, options, called in zip(sides, own, names, strict=True):
        for name in options:
            side.pop(name)
        shown = ", ".join(f"{name.rpartition('.')[2]} {value}" for name, value in options.items() if value != {})
        side[place] = " ".join(sorted(called)) + (f": {shown}" if shown else "")


def _flat(value: Any, prefix: str) -> dict[str, Any]:
    if isinstance(value, dict) and value:
        out: dict[str, Any] = {}
        for name, inner in value.items():
            out |= _flat(inner, f"{prefix}.{name}")
        return out
    return {prefix: value}
