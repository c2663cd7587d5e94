"""Augmentation on the command line: rows divided as a run would divide them, new rows of train, and the tables about them.

Validation and test are cut first, so that no child can come of a held-out row or be near to one; the file that is written holds
the rows of train with their children. A run from a recipe with the same seed divides alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tunewright import data as data_side
from tunewright.core.errors import Problem, RecipeError
from tunewright.core.files import storing
from tunewright.core.records import Record
from tunewright.core.registry import build
from tunewright.curating import Opened
from tunewright.data.exporting import export
from tunewright.data.prepare import steps_of
from tunewright.data.steps.augment import Augment
from tunewright.models.embedding import encoder
from tunewright.models.writer import writer

_FORMS = {".jsonl": "jsonl", ".csv": "csv", ".parquet": "parquet"}


@dataclass(frozen=True)
class Augmented:
    """What came of it: the step's own findings, how many rows went where, and the file that was written."""

    found: Mapping[str, Any]
    sizes: Mapping[str, int]
    out: str | None

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return {**self.found, "rows": dict(self.sizes), "out": self.out}


def quotas_of(asked: Sequence[str]) -> Any:
    """`balance`, or LABEL=NUMBER several times.

    Raises:
        RecipeError: anything else.
    """
    if not asked or list(asked) == ["balance"]:
        return "balance" if asked else None
    found, problems = {}, []
    for one in asked:
        label, _, number = one.rpartition("=")
        if label and number.isdecimal():
            found[label] = int(number)
        else:
            problems.append(Problem(where="--quota", found=repr(one), allowed="balance, or LABEL=NUMBER"))
    if problems:
        raise RecipeError(*problems)
    return found


def step_of(opened: Opened, options: Mapping[str, Any]) -> Augment:
    """The recipe's own step with what is asked for otherwise, or a new one."""
    own = [step for step in steps_of(opened.options) if isinstance(step, Augment)]
    given = {name: value for name, value in options.items() if value not in (None, (), [])}
    if own:
        return replace(own[0], **given)
    made: Augment = build("step", {"augment": given}, "data augment")
    return made


def augment(
    opened: Opened, step: Augment, *, writer_spec: Any = None, encoder_name: str | None = None, whole: bool = False,
    limit: int | None = None, only_new: bool = False, out: Path | None = None,
) -> Augmented:  # fmt: skip
    """Divide the rows, make new ones of train, and write train.

    Args:
        opened: the source.
        step: what is to be done.
        writer_spec: who writes, where it is not the recipe's own.
        encoder_name: for the gate `similar`, likewise.
        whole: nothing is held out: the source is train alone.
        limit: how many rows to use.
        only_new: write the children alone.
        out: a .jsonl, .csv or .parquet file.

    Raises:
        RecipeError: a model is needed and none is named, or the file's ending is another. DataError: as a run would.
    """
    if out is not None and out.suffix not in _FORMS:
        raise RecipeError(Problem(where="--out", found=str(out), allowed=f"a file that ends in {', '.join(_FORMS)}"))
    models = opened.models()
    if writer_spec is not None:
        models = replace(models, write=writer(writer_spec, where="--writer"))
    if encoder_name is not None:
        models = replace(models, encode=encoder(encoder_name))
    missing = [need for need in step.needs if getattr(models, need) is None]
    if missing:
        ways = {"write": "--writer", "encode": "--encoder", "perplexity": "data.models.language in a recipe"}
        raise RecipeError(
            *(Problem(where="data augment", found=f"what is asked for needs a model to {need}, and none is named",
                      to_do=f"name one: {ways[need]}") for need in missing)
        )  # fmt: skip
    before = tuple(one for one in steps_of(opened.options) if not isinstance(one, Augment))
    options = replace(opened.options, steps=(*before, step), limit=limit or opened.options.limit)
    if whole:
        options = replace(options, shares=data_side.Shares(0.0, 0.0))
    prepared = replace(opened, options=options).prepared(models)
    train = prepared.splits["train"]
    new = [row for row in train if "augmented" in row.flags]
    sizes = {name: len(part) for name, part in prepared.splits.items()} | {"new": len(new)}
    if out is not None:
        _write(new if only_new else train, out)
    return Augmented(prepared.found["augment"], sizes, None if out is None else str(out))


def _write(rows: Sequence[Record], out: Path) -> None:
    """The rows in one file, whole or not at all."""
    form = _FORMS[out.suffix]
    with storing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
            export({"train": rows}, Path(folder), form)
            made = Path(folder) / f"train.{form}"
            if made.exists():
                made.replace(out)
            else:
                out.write_text("")
