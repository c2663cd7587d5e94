"""What the commands on data have in common: a recipe or a file to rows that were read, cleaned and labelled.

opened = open_source(Path("tweets.csv"), text="text", label="sentiment")
rows = opened.settled()          # drafts with canonical labels, and the journal they are accounted in
vectors = encoder("minilm")(texts)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tunewright import data as data_side
from tunewright.core.errors import DataError, Problem, RecipeError
from tunewright.core.files import write_json, write_text
from tunewright.core.records import Record
from tunewright.data import manifest as manifests
from tunewright.data.explaining import data_folder
from tunewright.data.gates import Gate, gates
from tunewright.data.journal import Draft, Journal
from tunewright.data.markdown import markdown
from tunewright.data.prepare import Labelled, labelled
from tunewright.data_models import models_of
from tunewright.models.embedding import encoder
from tunewright.recipe import Recipe, read

__all__ = [
    "Description",
    "Divided",
    "Opened",
    "SettledRows",
    "described",
    "divide",
    "encoder",
    "open_source",
    "rows_of",
]


@dataclass(frozen=True)
class SettledRows:
    """Rows that were read and cleaned, labels in canonical form (None where there is none).

    `journal` has closed the stages up to here; `rows` is what was read, with its faults.
    """

    drafts: list[Draft]
    journal: Journal
    target: data_side.Target
    rows: data_side.Rows
    warnings: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Opened:
    """A source of rows: a recipe's data side, or that of a recipe which a file's columns suggest."""

    options: data_side.Options
    base: Path
    seed: int
    recipe: Recipe | None = None

    def read(self) -> data_side.Rows:
        """The rows of all files.

        Raises:
            DataError: with the problems of all files at once.
        """
        return data_side.gather(self.options, self.base)

    def settled(self) -> SettledRows:
        """Rows with their texts cleaned by the steps and their labels in canonical form, unlabelled ones among them.

        Raises:
            DataError: a file cannot be read, or labels differ by a space.
        """
        rows = self.read()
        found: Labelled = labelled(rows, self.options)
        if found.errors:
            raise DataError(*found.errors)
        return SettledRows(found.drafts, found.journal, found.target, rows, tuple(found.warnings))

    def models(self) -> data_side.Models:
        """The models that the recipe names for steps; of a file none."""
        return data_side.NO_MODELS if self.recipe is None else models_of(self.recipe, self.base)

    def prepared(self, models: data_side.Models | None = None) -> data_side.Prepared:
        """The rows after every stage, divided, as a run would have them.

        Args:
            models: in place of the recipe's.

        Raises:
            DataError: nothing can be learnt from them.
        """
        return data_side.prepare(self.read(), self.options, self.seed, self.models() if models is None else models)


def open_source(
    source: str | Path,
    *,
    text: str | None = None,
    label: str | None = None,
    pair: str | None = None,
    task: str | None = None,
    seed: int | None = None,
    changes: Sequence[str] = (),
) -> Opened:
    """What a command's SOURCE means: a recipe (.yaml), or a data file or folder whose columns are guessed or named.

    Args:
        text, label, pair, task: of a file, where they shall not be guessed; `label` may be several, with commas.
        seed: of a file, 0 by default; of a recipe its own where this is None.
        changes: `key=value` changes of a recipe.

    Raises:
        RecipeError: the recipe is wrong. DataError: the file cannot be read, or no column is like a text.
    """
    if str(source).endswith((".yaml", ".yml")):
        path = Path(source)
        recipe = read(path, changes)
        chosen = recipe.seed if seed is None else seed
        return Opened(recipe.options(path.parent), path.parent, chosen, recipe)
    several = [name.strip() for name in (label or "").split(",") if name.strip()]
    asked = (several[0] if len(several) == 1 else several) or None
    guess = data_side.guess(source, text=text, label=asked, task=task)
    columns = guess.wanted()
    options = data_side.Options(
        train=(str(guess.path or source),),
        columns=replace(columns, pair=pair or columns.pair),
        task=guess.task or "classification",
        separator=guess.separator,
        form=data_side.Form(header=guess.header, delimiter=guess.delimiter),
    )
    return Opened(options, Path(), seed or 0)


@dataclass(frozen=True)
class Description:
    """A data card, its gates, and both as Markdown."""

    card: dict[str, Any]
    gates: list[Gate]
    markdown: str


def described(
    prepared: data_side.Prepared, limits: Mapping[str, float] | None = None, out: Path | None = None
) -> Description:
    """What may be said of prepared rows; written into the folder `out` with the rows themselves.

    Raises:
        RecipeError: a limit for a gate that does not exist. StorageError: the folder cannot be written.
    """
    card = data_side.card(prepared)
    found = gates(card, limits)
    card["gates"] = [one.as_json() for one in found]
    text = markdown(card, found)
    if out is not None:
        data_side.write(prepared, out)
        write_json(out / "card.json", card)
        write_text(out / "card.md", text)
    return Description(card, found, text)


@dataclass(frozen=True)
class Divided:
    """Rows by split, in one division or in as many as there are folds; and the files that were written."""

    sizes: dict[str, dict[str, int]]
    method: str
    files: list[str]

    def as_json(self) -> dict[str, Any]:
        """The division as plain values."""
        return {"sizes": self.sizes, "method": self.method, "files": self.files}


def divide(
    opened: Opened,
    *,
    by: str | None = None,
    column: str | None = None,
    stratify: bool = False,
    folds: int | None = None,
    shares: tuple[float, float] = (0.1, 0.1),
    manifest: Path | None = None,
    freeze: Path | None = None,
    out: Path | None = None,
) -> Divided:
    """Divide the rows of a source, and write the splits, and where each row went.

    Of a recipe its own division holds, but for what is asked here.

    Raises:
        RecipeError: what does not go together. DataError: rows without a group or time; no rows.
    """
    options = _asked(opened, by, column, stratify, folds, shares, manifest)
    sizes, files, said = dict[str, dict[str, int]](), list[str](), ""
    for fold in range(folds or 1):
        one = replace(options, division=replace(options.division, fold=fold))
        prepared = replace(opened, options=one).prepared()
        name = f"fold-{fold}" if folds else "all"
        sizes[name] = {split: len(part) for split, part in prepared.splits.items()}
        said = prepared.method.replace(f"fold {fold} of {folds} as test", f"{folds} folds, each the test split once")
        if out is not None:
            place = out / name if folds else out
            data_side.write(prepared, place)
            files.append(str(place))
        if freeze is not None and not folds:
            manifests.write(freeze, prepared.manifest)
            files.append(str(freeze))
    return Divided(sizes, said, files)


def _asked(
    opened: Opened, by: str | None, column: str | None, stratify: bool, folds: int | None, shares: tuple[float, float],
    manifest: Path | None,
) -> data_side.Options:  # fmt: skip
    """The source's options with another division."""
    options, problems = opened.options, list[Problem]()
    division = options.division
    known: dict[str, Literal["content", "group", "time"]] = {"content": "content", "group": "group", "time": "time"}
    if by is not None and by not in known:
        problems.append(Problem(where="--by", found=repr(by), allowed=", ".join(known)))
    kept = known.get(by or division.by, division.by)
    columns = options.columns
    if column is not None and kept in ("group", "time"):
        columns = replace(columns, group=column) if kept == "group" else replace(columns, time=column)
    if kept in ("group", "time") and getattr(columns, kept) is None:
        problems.append(Problem(where="--column", found="nothing", allowed=f"the column with the {kept}"))
    if folds is not None and folds < 2:
        problems.append(Problem(where="--folds", found=str(folds), allowed="2 or more"))
    if problems:
        raise RecipeError(*problems)
    try:
        made = replace(
            division, by=kept, stratify=stratify or division.stratify, folds=folds or division.folds,
            manifest=division.manifest if manifest is None else str(manifest),
        )  # fmt: skip
        cut = options.shares if opened.recipe is not None else data_side.Shares(*shares)
    except ValueError as error:
        raise RecipeError(Problem(where="data split", found=str(error))) from None
    return replace(options, columns=columns, division=made, shares=cut)


def rows_of(source: str, **asked: Any) -> tuple[dict[str, list[Record]], str]:
    """The prepared rows of a run, of a data folder, of a recipe or of a file; and their task.

    Raises:
        TunewrightError: see `open_source`.
    """
    path = Path(source)
    if path.is_dir() and any((place / "ledger.jsonl").is_file() for place in (path, path / "data")):
        recipe = path / "recipe.yaml"
        return data_side.load(data_folder(path)), read(recipe).task if recipe.is_file() else "classification"
    opened = open_source(source, **asked)
    return dict(opened.prepared().splits), opened.options.task
