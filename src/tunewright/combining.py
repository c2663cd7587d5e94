"""`combine` and `interpolate`: arithmetic with what models of one base have learnt, and what it does to the figures.

The result is a model's folder like any other. Everything that cannot be added up is refused before anything is written.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tunewright import data as data_side
from tunewright.core.errors import Problem, RecipeError, closest, listed
from tunewright.core.files import write_json
from tunewright.core.outcomes import Judged
from tunewright.evaluation.scoring import score
from tunewright.heldout import SPLITS, Held, held
from tunewright.kinds import reopen
from tunewright.merging import ROWS, Change, changed, check_target, deciding, judged, side
from tunewright.models import folders
from tunewright.models.arithmetic import METHODS, Rule
from tunewright.models.mixtures import Part, mixed, refuse_unlike
from tunewright.models.saving import card_of, open_saved
from tunewright.predicting import part_of
from tunewright.reevaluating import recipe_of, run_of

FIGURES = "combination.json"
_FARTHEST = 10.0
"""How far past either end a share may lie."""
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Figure:
    """One model's metric on one set of rows with its interval; `change` is against the model it is compared with."""

    model: str
    source: str
    items: int
    metric: str
    better: str
    value: float | None
    low: float | None
    high: float | None
    change: Change | None

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Combined:
    """A combination: its `folder`, of what with which weights, by which method; `kept` is the share of the deltas' square
    norm that its rank leaves, at the module where that is least; `figures` of the parts and of the combination."""

    folder: Path
    parts: Mapping[str, float]
    method: str
    kept: float
    figures: Sequence[Figure]

    def as_json(self) -> dict[str, Any]:
        """As in combination.json."""
        return {"version": 1, "parts": dict(self.parts), "method": self.method, "kept": self.kept,
                "figures": [one.as_json() for one in self.figures]}  # fmt: skip


@dataclass(frozen=True)
class Interpolated:
    """A way from the base to a tuned model: `figures` at each share on each set of rows; `best` is the share with the best
    figure on the validation split (None without one); `folder` where the model at `share` was written."""

    figures: Sequence[Figure]
    best: float | None
    share: float | None = None
    folder: Path | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"figures": [one.as_json() for one in self.figures], "best": self.best, "share": self.share,
                "folder": None if self.folder is None else str(self.folder)}  # fmt: skip


def combine(
    models: Mapping[str, float] | Sequence[str],
    into: str | Path,
    *,
    method: str = "linear",
    density: float = 0.5,
    rank: int | None = None,
    seed: int = 0,
    rows: str | Path | None = None,
    limit: int = ROWS,
) -> Combined:
    """Adds up what models of one base have learnt, and judges the sum beside its parts.

    Args:
        models: folders of runs or models with their weights; without weights all count alike:
            their average.
        into: the folder of the combination.
        method: linear, ties, dare_linear or dare_ties (`models.arithmetic`).
        density: the share of entries that ties and dare keep.
        rank: of a combination of LoRAs; the sum of their ranks where this is left out.
        seed: of dare's draws.
        rows: a file with labelled rows to judge on; the first run's test rows where this is left out.
        limit: how many rows at most.

    Raises:
        RecipeError: the models cannot be added up; each reason is named. RunDamaged: a folder holds no model, or something
            else lies in the way. StorageError: it cannot be written.
    """
    alike = 1.0 if method.endswith("ties") else 1.0 / max(len(models), 1)  # ties averages by itself
    weighed = dict(models) if isinstance(models, Mapping) else dict.fromkeys(models, alike)
    _check(weighed, method, density, rank)
    target = Path(into).absolute()
    check_target(target, FIGURES)
    parts = [_part(name, weight) for name, weight in weighed.items()]
    rule = Rule(method, density, rank, seed)  # type: ignore[arg-type]
    refuse_unlike(parts, rule)
    first = Path(next(iter(weighed)))
    with folders.written(target) as stage:
        kept = mixed(parts, rule, stage, target)
        figures = list[Figure]()
        if (run_of(_place(first)) / "recipe.yaml").is_file():
            told = held(first, open_saved(parts[0].folder), None if rows is None else Path(rows), limit)
            figures = _figures(
                {**{n: p.folder for n, p in zip(weighed, parts, strict=True)}, "combined": stage}, [told], "combined"
            )
        made = Combined(target, weighed, method, kept, figures)
        write_json(stage / FIGURES, made.as_json())
    return made


def interpolate(
    run: str | Path,
    *,
    task: str = "",
    shares: Sequence[float] = SHARES,
    rows: Sequence[str | Path] = (),
    limit: int = ROWS,
    share: float | None = None,
    into: str | Path | None = None,
) -> Interpolated:
    """Judges models on the way from the base (share 0) to a tuned model (share 1), as WiSE-FT goes it.

    Args:
        run: a finished run's folder, or a folder with a saved model.
        task: which, where the run is of several.
        shares: those that are judged.
        rows: files with labelled rows of other kinds than the run's, to judge on beside its own held-out rows.
        limit: how many rows of each at most.
        share: the one that is written; the best on the validation split where this is left out.
        into: where it is written; nothing is where this is left out.

    Raises:
        RecipeError: what was learnt has no way to the base. As `combine`.
    """
    folder = part_of(Path(run), task)
    asked = [*shares, *([] if share is None else [share])]
    wrong = [str(one) for one in asked if not abs(one) <= _FARTHEST]
    if wrong or not shares:
        raise RecipeError(
            Problem(where="--share", found=listed(wrong) or "none", allowed="numbers, as a rule from 0 to 1")
        )
    if into is not None:
        check_target(Path(into).absolute(), FIGURES)
    part = _part(str(folder), 1.0)
    refuse_unlike([part.weighing(0.5)], Rule())
    saved, run_folder = open_saved(part.folder), run_of(folder)
    recipe_of(run_folder)
    known = data_side.load(run_folder / "data")
    told = [held(folder, saved, None, limit, split) for split in SPLITS[::-1] if known.get(split)]
    told += [held(folder, saved, Path(file), limit) for file in rows]
    del saved
    with folders.beside(folder.absolute() / "interpolated") as stage:
        places = {f"{one:g}": stage / f"{one:g}" for one in dict.fromkeys(asked)}
        for name, place in places.items():
            place.mkdir()
            mixed([part.weighing(float(name))], Rule(), place, place)
        figures = _figures(places, told, "1")
    best = _best(figures, shares)
    if into is None:
        return Interpolated(figures, best, share)
    chosen = share if share is not None else best if best is not None else 1.0
    target = Path(into).absolute()
    with folders.written(target) as stage:
        mixed([part.weighing(chosen)], Rule(), stage, target)
        write_json(stage / FIGURES, {"version": 1, **Interpolated(figures, best, chosen, target).as_json()})
    return Interpolated(figures, best, chosen, target)


def _best(figures: Sequence[Figure], shares: Sequence[float]) -> float | None:
    """The share with the best value on the validation split; of equals the largest."""
    names = {f"{one:g}": one for one in shares}
    known = [
        (f, names[f.model])
        for f in figures
        if f.source == "the validation split" and f.value is not None and f.model in names
    ]
    if not known:
        return None
    lower = known[0][0].better == "lower"
    return max(known, key=lambda one: (-(one[0].value or 0.0) if lower else one[0].value or 0.0, one[1]))[1]


def _place(folder: Path) -> Path:
    return folder / "model" if (folder / "model").is_dir() else folder


def _part(name: str, weight: float) -> Part:
    """A model that is added; a run's seed says how a base without files of its own was drawn."""
    place = _place(Path(name))
    run = run_of(place)
    card, known = card_of(place), (run / "recipe.yaml").is_file()
    if known:
        card["run"] = str(run.absolute())
    return Part(place, weight, card, recipe_of(run).seed if known else 0)


def _figures(models: Mapping[str, Path], told: Sequence[Held], against: str) -> list[Figure]:
    """Each model's metric on each set of rows; the others are compared with the one named `against`."""
    said = dict[tuple[str, int], Judged]()
    for name, place in models.items():
        saved = open_saved(place)
        for i, one in enumerate(told):
            kind = reopen(saved, one.recipe)
            said[name, i] = judged(kind, side(saved, kind).forward, one.encoded(kind), name)
    found = []
    for i, one in enumerate(told):
        for name in models:
            p = said[name, i]
            change = None if name == against or (against, i) not in said else changed(said[against, i], p, one.plan)
            metric = deciding(p)
            whole = score(p, one.plan.resamples, one.plan.confidence, one.plan.seed)[metric.name]
            value, low, high = (whole.get(part) for part in ("value", "low", "high"))
            found.append(Figure(name, one.source, len(p), metric.name, metric.better, value, low, high, change))
    return found


def _check(weighed: Mapping[str, float], method: str, density: float, rank: int | None) -> None:
    problems = []
    if not weighed:
        problems.append(Problem(where="models", found="none", allowed="at least one folder"))
    problems += [
        Problem(where=str(name), found=f"a weight of {weight}", allowed="a finite number")
        for name, weight in weighed.items() if not math.isfinite(weight)
    ]  # fmt: skip
    if method not in METHODS:
        problems.append(Problem(where="--method", found=repr(method), allowed=listed(METHODS),
                                to_do=closest(method, METHODS) or "choose one of these"))  # fmt: skip
    if not 0 < density <= 1:
        problems.append(Problem(where="--density", found=str(density), allowed="above 0, at most 1"))
    if rank is not None and rank < 1:
        problems.append(Problem(where="--rank", found=str(rank), allowed="at least 1"))
    if problems:
        raise RecipeError(*problems)
