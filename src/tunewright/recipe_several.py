"""What a recipe of several tasks is made of: all that they share, and for each what it would be alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tunewright.core.errors import Problem, listed
from tunewright.tasks import TASKS

SCORE = "score"
"""What training goes by: each task's own metric beside its value at the first validation, on average; lower is better."""
_OWN = ("data", "objective")
_RENAMED = {"evaluation.metric": "metric", "evaluation.baselines": "baselines"}


def shared(value: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe with what is left out written in."""
    value = {**value, "mixing": value.get("mixing") or {}}
    if isinstance(value.get("model"), str):
        value["model"] = {"name": value["model"]}
    evaluation, training = value.get("evaluation") or {}, value.get("training") or {}
    if isinstance(evaluation, Mapping):
        value["evaluation"] = {**evaluation, "transfer": evaluation.get("transfer") is not False}
    if isinstance(training, Mapping) and isinstance(training.get("stop") or {}, Mapping):
        stop = training.get("stop") or {}
        value["training"] = {**training, "stop": {**stop, "metric": stop.get("metric") or SCORE}}
    return value


def alone(value: Mapping[str, Any], part: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe of one of the tasks by itself, as plain values."""
    found = {k: value[k] for k in ("model", "adaptation", "training", "evaluation", "seed") if k in value}
    for name in ("training", "evaluation"):
        if isinstance(found.get(name), Mapping):
            found[name] = dict(found[name])
    if isinstance(found.get("training"), dict) and isinstance(found["training"].get("stop"), Mapping):
        found["training"]["stop"] = {k: x for k, x in found["training"]["stop"].items() if k != "metric"}
    if isinstance(found.get("evaluation"), dict):
        found["evaluation"] |= {"metric": part.get("metric") or "", "baselines": part.get("baselines")}
        found["evaluation"].pop("transfer", None)
    task = part.get("task")
    if isinstance(task, str) and task in TASKS and TASKS[task].writes and value.get("generation") is not None:
        found["generation"] = value["generation"]
    found["task"] = task
    return found | {key: part[key] for key in _OWN if part.get(key) is not None}


def placed_in(task: str, problem: Problem) -> Problem:
    """A problem of a task's recipe where it stands in the whole one."""
    where = _RENAMED.get(problem.where, problem.where)
    own = where != problem.where or where.split(".")[0].split("[")[0] in (*_OWN, "task")
    return replace(problem, where=f"tasks.{task}.{where}") if own else problem


def problems(value: Mapping[str, Any]) -> list[Problem]:
    """What does not go with several tasks."""
    tasks, found = value.get("tasks"), list[Problem]()
    if not isinstance(tasks, Mapping) or len(tasks) < 2:
        found.append(
            Problem(where="tasks", found=f"{len(tasks) if isinstance(tasks, Mapping) else 0} tasks",
                    allowed="two or more, each with a name of your own",
                    to_do="for example `tasks: {sentiment: {task: classification, data: {...}}, ...}`")
        )  # fmt: skip
    found += [
        Problem(where=f"tasks.{name}", found="this name", allowed="letters, digits, - and _, 40 at most",
                to_do="choose another name")
        for name in (tasks if isinstance(tasks, Mapping) else ()) if not re.fullmatch(r"\w[\w-]{0,39}", str(name))
    ]  # fmt: skip
    found += [
        Problem(where=name, found="it stands beside the tasks", allowed="a key of each task", to_do=f"put it into tasks.NAME.{name}")
        for name in _OWN if value.get(name)
    ]  # fmt: skip
    evaluation, training = value.get("evaluation"), value.get("training")
    if isinstance(evaluation, Mapping):
        found += [
            Problem(where=f"evaluation.{name}", found="it stands beside the tasks", allowed="a key of each task",
                    to_do=f"put it into tasks.NAME.{name}")
            for name in ("metric", "baselines") if evaluation.get(name)
        ]  # fmt: skip
    stop = training.get("stop") if isinstance(training, Mapping) else None
    if isinstance(stop, Mapping) and stop.get("metric") not in (None, "", SCORE):
        found.append(
            Problem(where="training.stop.metric", found=repr(stop.get("metric")), allowed=f"{SCORE}, for several tasks",
                    to_do="leave the key out: each task goes by its own")
        )  # fmt: skip
    writing = listed([t.name for t in TASKS.values() if t.writes])
    kinds = [p.get("task") for p in tasks.values() if isinstance(p, Mapping)] if isinstance(tasks, Mapping) else []
    if value.get("generation") is not None and not any(TASKS[k].writes for k in kinds if k in TASKS):
        found.append(Problem(where="generation", found="no task of these writes texts", allowed=f"beside {writing}",
                             to_do="remove it"))  # fmt: skip
    return found
