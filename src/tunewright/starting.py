"""`tunewright init`: looks at a file and writes a commented recipe for it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunewright import bundled
from tunewright import data as data_side
from tunewright.core.errors import DataError, Problem, RecipeError, closest, counted
from tunewright.core.files import write_text

_TEMPLATE = """\
# A recipe for {shown}, written by `tunewright init`.
# Found in the file: {found}
{evidence}#
# tunewright check {name}     finds everything that can be wrong, before any training
# tunewright run {name}       cleans, trains, compares with the baselines, writes the report

task: {task}

data:
  train: {train}          # a file or a list of files; validation: and test: may name files of their own
{columns}{separator}{pair}{form}  shares: {{validation: 0.1, test: {test}}}   # held out by a keyed hash: stable when the file grows
{conflicts}
model: {model}                    # {models}
adaptation: full                 # or {{lora: {{rank: 16}}}}, or {{frozen: {{top: 2}}}}
{objective}
training:
  epochs: {epochs}
  batch: {batch}                      # examples that learn together; memory is bounded by micro_tokens, not by this
  rate: auto                     # by model size and adaptation; the run writes down what it took
  schedule: {{linear: {{warmup: 0.06}}}}
{judged}
seed: 0
"""

_JUDGED = """\
  stop: {{metric: {stop}, patience: 2}}   # on the validation split, after every epoch

evaluation:
  metric: {metric}
  baselines: [{baselines}]
"""


@dataclass(frozen=True)
class _Words:
    """What a recipe for a task says in place of another task's words; what is empty is left to the task."""

    objective: str = ""
    stop: str = ""
    metric: str = ""
    conflicts: str = ""
    majority: str = "majority"
    baselines: str = "majority, tfidf, linear"
    model: str = "minilm"
    note: str = ""


_TASKS = {
    "classification": _Words(
        "cross_entropy         # or {cross_entropy: {smoothing: 0.1, class_weights: balanced}}, or focal",
        "f1_macro", "accuracy", "one text under several labels",
    ),
    "multilabel": _Words("binary_cross_entropy", "f1_micro", "f1_micro", "one text under different sets of labels"),
    "regression": _Words(
        "mse                   # or mae, or huber", "mse", "pearson", "one text with different numbers",
        "majority (their median)",
    ),
    "chat": _Words(
        model="toy", note="  # system: You are a helpful assistant.   # for rows without a system prompt\n"
        "  # supervise: last             # learn the last reply alone; all: every reply of the assistant\n",
    ),
    "preference": _Words(conflicts="the same two replies preferred both ways", model="toy"),
    "reward": _Words(conflicts="the same two replies preferred both ways", model="toy"),
    "seq2seq": _Words(model="toy", note='  # prefix: "translate: "        # what a model such as T5 wants before every source\n'),
    "language_modeling": _Words(model="toy"),
    "token_classification": _Words(
        "cross_entropy         # of every token's tag", "f1", "f1", "one text with different spans",
        baselines="lexicon, tfidf, linear",
    ),
}  # fmt: skip
_WRITES = "the toy has random weights and shows that all works: name a folder, or a Hub id (only that downloads)"


def start(
    source: str,
    out: Path | None = None,
    *,
    model: str | None = None,
    text: str | None = None,
    label: str | None = None,
    task: str | None = None,
    force: bool = False,
) -> tuple[Path, dict[str, Any]]:
    """Writes a recipe for the file `source`, or for the bundled messages where `source` is "demo".

    Args:
        source: a data file or folder, or "demo".
        out: the recipe's path or an existing folder; next to where one stands by default.
        model: the base model; one that goes with the task by default.
        text: the column with the texts, where it shall not be guessed.
        label: the column with the labels, likewise, or several with commas between them.
        task: the task's name, likewise.
        force: replace a recipe that is there.

    Returns:
        The recipe's path, and what was guessed.

    Raises:
        DataError: the file cannot be read or holds no text column. RecipeError: the recipe exists, or no such task.
    """
    _known(task)
    path: str | Path = source if data_side.is_remote(source) else Path(source)
    demo = source == "demo" and not Path(source).exists()
    stem = "messages" if demo else _stem(source)
    recipe = (
        out / f"{stem}.yaml" if out is not None and (out.is_dir() or not out.suffix) else out or Path(f"{stem}.yaml")
    )
    if recipe.exists() and not force:
        raise RecipeError(
            Problem(where=str(recipe), found="it exists already", to_do="--out another.yaml, or --force to replace it")
        )
    if demo:
        path = recipe.parent / "messages.csv"
        _put_messages(path, force)
    guess = _guessed(path, text, label, task)
    _refuse(path, guess)
    if guess.path is not None:
        path = Path(guess.path)
    write_text(recipe, _filled(path, recipe, guess, model, demo))
    label_found = list(guess.label) if isinstance(guess.label, tuple) else guess.label
    return recipe, {"text": guess.text, "label": label_found, "pair": guess.pair, "task": guess.task, "rows": guess.rows,
                    "format": guess.format, "columns": list(guess.columns), "evidence": list(guess.evidence),
                    "conversation": guess.conversation}  # fmt: skip


def _stem(source: str) -> str:
    """What a recipe for a source is called: `tweets` for tweets.csv and hub:me/tweets, `data` for data/*.csv."""
    place, part = source.partition("#")[::2]
    if data_side.is_remote(source) and re.fullmatch(r"\w+", part):
        place = part
    names = [piece.split(".")[0] for piece in re.split(r"[/\\]", place.split("@")[0] if part != place else place)]
    return next((name for name in reversed(names) if name and not re.search(r"[*?\[:]", name)), "recipe")


def _known(task: str | None) -> None:
    if task is not None and task not in _TASKS:
        raise RecipeError(
            Problem(where="task", found=repr(task), allowed=", ".join(_TASKS),
                    to_do=closest(task, _TASKS) or "choose one of these")
        )  # fmt: skip


def _put_messages(path: Path, force: bool) -> None:
    """Puts the bundled messages at `path`."""
    messages = bundled.MESSAGES.read_text(encoding="utf-8")
    if path.exists() and not force and path.read_bytes() != messages.encode():
        raise RecipeError(
            Problem(where=str(path), found="another file of this name is there",
                    to_do="--out another-folder/, or --force to replace it with the bundled messages")
        )  # fmt: skip
    write_text(path, messages)


def _refuse(path: str | Path, guess: data_side.Guess) -> None:
    """Refuses a guess that no recipe can be made from."""
    if guess.task in data_side.FINDS_COLUMNS:
        return
    problems = [
        Problem(where=str(path), found=f"no column looks like a {what}", allowed=", ".join(guess.columns),
                to_do=f"name it with --{what}")
        for what, column in (("text", guess.text), ("label", guess.label)) if column is None
    ]  # fmt: skip
    if guess.task is None and not problems:
        problems.append(
            Problem(where=str(path), found=guess.evidence[-1], allowed="one column of labels or numbers, several of "
                    "numbers, or several of 0 and 1", to_do="name other columns with --label")
        )  # fmt: skip
    if problems:
        raise DataError(*problems)


def _guessed(path: str | Path, text: str | None, label: str | None, task: str | None) -> data_side.Guess:
    """The guess around what is known. A `label` that is no column may be several, with commas between them."""
    try:
        return data_side.guess(path, text=text, label=label, task=task)
    except DataError:
        several: Sequence[str] = [name.strip() for name in (label or "").split(",") if name.strip()]
        if len(several) < 2:
            raise
        return data_side.guess(path, text=text, label=several, task=task)


def _filled(path: str | Path, recipe: Path, guess: data_side.Guess, model: str | None, demo: bool) -> str:
    from tunewright.models.loading import CATALOGUE

    shown = json.dumps  # JSON is YAML: quotes what needs it
    far = data_side.is_remote(path)
    train = data_side.placed(path, Path.cwd()) if far else _relative(Path(path), recipe)
    form = ""
    if guess.header is False:
        form += "  header: false                # columns are named by their place: 0, 1, ...\n"
    separator = f"  separator: {shown(guess.separator, ensure_ascii=False)}\n" if guess.separator else ""
    words = _TASKS[guess.task or "classification"]
    pair = f"  pair: {shown(guess.pair, ensure_ascii=False)}\n" if guess.pair else ""
    evidence = "".join(f"#   {line}\n" for line in guess.evidence)
    model = model or words.model
    seen = f"{counted(guess.rows, 'row')} looked at, " if guess.rows else ""
    found = f"{seen}{guess.format}" + (f", columns {', '.join(guess.columns)}" if guess.columns else "")
    named = f"a name ({', '.join(CATALOGUE)}), a folder, or a Hub id (only that downloads)"
    whole = guess.task in data_side.FINDS_COLUMNS | {"seq2seq"}
    return _TEMPLATE.format(
        shown=" ".join(str(path).split()) if far else Path(path).name,
        found=found,
        evidence=evidence,
        name=recipe.name,
        train=shown(train, ensure_ascii=False),
        columns=_columns(guess) + words.note,
        task=guess.task,
        separator=separator,
        conflicts=_conflicts(words),
        objective=f"objective: {words.objective}\n" if words.objective else "",
        judged=_JUDGED.format(stop=words.stop, metric=words.metric, baselines=words.baselines) if words.metric else "",
        batch="8 " if whole else "32",
        pair=pair,
        form=form,
        model=shown(model, ensure_ascii=False).strip('"') if model.replace("-", "").isalnum() else shown(model),
        models=_WRITES if whole and model == "toy" else named,
        epochs=4 if demo else 3,
        test="0.25" if demo else "0.1",
    )


def _columns(guess: data_side.Guess) -> str:
    """The lines of a recipe that name columns and form; without those that are found out from the rows."""
    named = {"text": guess.text, "label": guess.label}
    if guess.format == "conll":
        named = {}
    if guess.task in data_side.FINDS_COLUMNS:
        named = {name: column for name, column in named.items() if column is not None}
    lines = [f"  {name}: {json.dumps(column, ensure_ascii=False)}\n" for name, column in named.items()]
    if guess.conversation is not None:
        lines.append(f"  conversation: {guess.conversation}          # the form of the rows; auto looks by itself\n")
    return "".join(lines)


def _conflicts(words: _Words) -> str:
    if not words.conflicts:
        return ""
    return f"  conflicts: drop                # {words.conflicts}: drop (set aside), {words.majority}, keep\n"


def _relative(path: Path, recipe: Path) -> str:
    import os

    return os.path.relpath(path.resolve(), recipe.parent.resolve())
