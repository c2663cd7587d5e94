"""Rows that a saved model is held against: those that its run kept from training, or a file's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tunewright import data as data_side
from tunewright.core.errors import DataError, ModelError, Problem
from tunewright.core.records import Record
from tunewright.core.seeds import key
from tunewright.evaluation.compare import Plan
from tunewright.kinds import Encoded, Kind, refusals
from tunewright.models.saving import Saved
from tunewright.recipe import Recipe, families
from tunewright.reevaluating import base_of, items_of, recipe_of, run_of
from tunewright.tracking import RunFolder


@dataclass(frozen=True)
class Held:
    """Labelled rows and the run they belong to. `source` says in words where they are from."""

    run: Path
    recipe: Recipe
    records: Sequence[Record]
    source: str

    @property
    def plan(self) -> Plan:
        """How the run compares."""
        wanted = self.recipe.evaluation
        return Plan(wanted.resamples, wanted.confidence, self.recipe.seed)

    def encoded(self, kind: Kind) -> Encoded:
        """The rows for a kind of task; a policy's with what the base model gives their replies, where it is there.

        Raises:
            DataError: none of them can be encoded.
        """
        found = kind.encode(self.records, learn=False)
        if not found.records:
            raise DataError(Problem(where=self.source, found=refusals({"rows": found.left})))
        if self.recipe.task == "preference":
            known = str(RunFolder(self.run).facts().get("fingerprint"))
            splits = data_side.load(self.run / "data")
            try:
                below = base_of(self.run, self.recipe, splits)
            except ModelError:
                return found  # its rewards are then measured from nothing, which shifts both models' alike
            found = below.ready({"test": found}, self.recipe, self.run / "reference", known)["test"]
        return found


SPLITS = ("test", "validation")


def held(folder: Path, saved: Saved, rows: Path | None, limit: int, split: str | None = None) -> Held:
    """At most `limit` rows: of the file, or of `split`; of the first of `SPLITS` that has any where neither is named.

    Which ones is decided by a keyed hash, so that it is the same for every model.

    Raises:
        DataError: there is none. RunDamaged: no run is known for this model.
    """
    families()
    run = run_of(folder)
    recipe = recipe_of(run)
    splits = data_side.load(run / "data")
    if rows is not None:
        records, _ = items_of(run, recipe, saved, splits, rows)
        source = rows.name
    else:
        split = split or next((name for name in SPLITS if splits[name]), SPLITS[0])
        records, source = list(splits[split]), f"the {split} split"
    if not records:
        raise DataError(
            Problem(where=str(run), found=f"{source} has no rows",
                    to_do="name a file with labelled rows: --rows FILE")
        )  # fmt: skip
    if len(records) > limit:
        chosen = set(sorted((r.id for r in records), key=lambda i: key("held out", i))[:limit])
        records = [r for r in records if r.id in chosen]
    return Held(run, recipe, records, source)
