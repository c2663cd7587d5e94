"""What the commands on data have in common: a recipe or a file to rows that were read, cleaned and labelled.

opened = open_source(Path("tweets.csv"), text="text", label="sentiment")
rows = opened.settled()          # drafts with canonical labels, and the journal they are accounted in
vectors = encoder("minilm")(texts)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tunewright import data as data_side
from tunewright.core.errors import DataError, Problem
from tunewright.data.journal import Draft, Journal
from tunewright.data.prepare import Labelled, labelled
from tunewright.data_models import models_of
from tunewright.models.embedding import encoder
from tunewright.recipe import Recipe, read

__all__ = ["Opened", "SettledRows", "encoder", "open_source"]


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

    def prepared(self) -> data_side.Prepared:
        """The rows after every stage, divided, as a run would have them.

        Raises:
            DataError: nothing can be learnt from them.
        """
        models = models_of(self.recipe, self.base) if self.recipe is not None else data_side.NO_MODELS
        return data_side.prepare(self.read(), self.options, self.seed, models)


def open_source(
    source: Path,
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
    if source.suffix in (".yaml", ".yml"):
        recipe = read(source, changes)
        chosen = recipe.seed if seed is None else seed
        return Opened(recipe.options(source.parent), source.parent, chosen, recipe)
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
