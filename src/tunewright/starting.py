"""`tunewright init`: looks at a file and writes a commented recipe for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tunewright import bundled
from tunewright import data as data_side
from tunewright.core.errors import DataError, Problem, RecipeError, counted
from tunewright.core.files import write_text

_TEMPLATE = """\
# A recipe for {shown}, written by `tunewright init`.
# Found in the file: {found}
{evidence}#
# tunewright check {name}     finds everything that can be wrong, before any training
# tunewright run {name}       cleans, trains, compares with the baselines, writes the report

task: classification

data:
  train: {train}          # a file or a list of files; validation: and test: may name files of their own
  text: {text}
  label: {label}
{pair}{form}  shares: {{validation: 0.1, test: {test}}}   # held out by a keyed hash: stable when the file grows
  conflicts: drop                # one text under several labels: drop (set aside), majority, keep

model: {model}                    # a name ({catalogue}), a folder, or a Hub id (only that downloads)
adaptation: full                 # or {{lora: {{rank: 16}}}}, or {{frozen: {{top: 2}}}}
objective: cross_entropy         # or {{cross_entropy: {{smoothing: 0.1, class_weights: balanced}}}}, or focal

training:
  epochs: {epochs}
  batch: 32                      # examples that learn together; memory is bounded by micro_tokens, not by this
  rate: auto                     # by model size and adaptation; the run writes down what it took
  schedule: {{linear: {{warmup: 0.06}}}}
  stop: {{metric: f1_macro, patience: 2}}   # on the validation split, after every epoch

evaluation:
  metric: accuracy
  baselines: [majority, tfidf, linear]

seed: 0
"""


def start(
    source: str,
    out: Path | None = None,
    *,
    model: str = "minilm",
    text: str | None = None,
    label: str | None = None,
    force: bool = False,
) -> tuple[Path, dict[str, Any]]:
    """Writes a recipe for the file `source`, or for the bundled messages where `source` is "demo".

    Args:
        source: a data file or folder, or "demo".
        out: the recipe's path or an existing folder; next to where one stands by default.
        text: the column with the texts, where it shall not be guessed.
        label: the column with the labels, likewise.
        force: replace a recipe that is there.

    Returns:
        The recipe's path, and what was guessed.

    Raises:
        DataError: the file cannot be read or holds no text column. RecipeError: the recipe exists.
    """
    path = Path(source)
    demo = source == "demo" and not path.exists()
    stem = "messages" if demo else path.name.split(".")[0] or "recipe"
    recipe = (
        out / f"{stem}.yaml" if out is not None and (out.is_dir() or not out.suffix) else out or Path(f"{stem}.yaml")
    )
    if recipe.exists() and not force:
        raise RecipeError(
            Problem(where=str(recipe), found="it exists already", to_do="--out another.yaml, or --force to replace it")
        )
    if demo:
        path = recipe.parent / "messages.csv"
        messages = bundled.MESSAGES.read_text(encoding="utf-8")
        if path.exists() and not force and path.read_bytes() != messages.encode():
            raise RecipeError(
                Problem(where=str(path), found="another file of this name is there",
                        to_do="--out another-folder/, or --force to replace it with the bundled messages")
            )  # fmt: skip
        write_text(path, messages)
    guess = data_side.guess(path, text=text, label=label)
    problems = [
        Problem(where=str(path), found=f"no column looks like a {what}", allowed=", ".join(guess.columns),
                to_do=f"name it with --{what}")
        for what, column in (("text", guess.text), ("label", guess.label)) if column is None
    ]  # fmt: skip
    if guess.task not in ("classification", None) and not problems:
        problems.append(
            Problem(where=str(path), found=f"column {guess.label!r} looks like {guess.task}", allowed="classification",
                    to_do="name another label column, or map its values to classes (data.label_map)")
        )  # fmt: skip
    if problems:
        raise DataError(*problems)
    write_text(recipe, _filled(path, recipe, guess, model, demo))
    return recipe, {"text": guess.text, "label": guess.label, "pair": guess.pair, "task": guess.task, "rows": guess.rows,
                    "format": guess.format, "columns": list(guess.columns), "evidence": list(guess.evidence)}  # fmt: skip


def _filled(path: Path, recipe: Path, guess: data_side.Guess, model: str, demo: bool) -> str:
    shown = json.dumps  # JSON is YAML: quotes what needs it
    try:
        train = str(path.resolve().relative_to(recipe.parent.resolve()))
    except ValueError:
        train = _relative(path, recipe)
    form = ""
    if guess.header is False:
        form += "  header: false                # columns are named by their place: 0, 1, ...\n"
    pair = f"  pair: {shown(guess.pair, ensure_ascii=False)}\n" if guess.pair else ""
    evidence = "".join(f"#   {line}\n" for line in guess.evidence)
    from tunewright.models.loading import CATALOGUE

    return _TEMPLATE.format(
        shown=path.name,
        found=f"{counted(guess.rows, 'row')} looked at, {guess.format}, columns {', '.join(guess.columns)}",
        evidence=evidence,
        name=recipe.name,
        train=shown(train, ensure_ascii=False),
        text=shown(guess.text, ensure_ascii=False),
        label=shown(guess.label, ensure_ascii=False),
        pair=pair,
        form=form,
        model=shown(model, ensure_ascii=False).strip('"') if model.replace("-", "").isalnum() else shown(model),
        catalogue=", ".join(CATALOGUE),
        epochs=4 if demo else 3,
        test="0.25" if demo else "0.1",
    )


def _relative(path: Path, recipe: Path) -> str:
    import os

    return os.path.relpath(path.resolve(), recipe.parent.resolve())
