"""`merge`: an adapter into plain weights, with the evidence that they say the same.

The merged model is saved, read back from disk, and held against base + adapter on held-out rows. Where it differs by more
than the limits it is refused, and nothing is left in its place. Both are computed in float32, so that what is measured is
what merging and rounding did to the weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tunewright.core.errors import ModelError, Problem, RecipeError, RunDamaged, closest, listed
from tunewright.core.files import storing, write_json
from tunewright.core.outcomes import Judged
from tunewright.evaluation.compare import Plan, compare
from tunewright.evaluation.intervals import wilson
from tunewright.heldout import Held, held
from tunewright.kinds import Encoded, Kind, reopen
from tunewright.kinds.likeness import alike
from tunewright.metrics import task_of
from tunewright.models import folders
from tunewright.models.forward import ModelForward
from tunewright.models.likeness import Likeness, Side
from tunewright.models.merging import DTYPES, adapted, merged, opened, refuse_unmergeable, ways
from tunewright.models.saving import CARD, Saved, card_of, open_saved, save
from tunewright.predicting import part_of

FIGURES = "merge.json"
BASES = ("plain", "dequantized", "nearer")
ROWS = 500
"""Rows that are compared where nothing is said."""
_EFFECT = 1e-8
"""Below this mean KL divergence from the base an adapter has learnt nothing that could be lost."""
_OF_THE_FOLDER = ("version", "labels", "limit", "files", "adaptation")


@dataclass(frozen=True)
class Limits:
    """What a merge may change at most.

    kl: mean KL divergence (base + adapter || merged), nats a unit. agreement: the share of decisions that stay; refused
    where even the upper end of its 95% interval lies below. spread: the largest difference of numbers and rewards, in units
    of their spread. lost: the KL divergence as a share of what the adapter itself changed (the divergence of base + adapter
    from the base): rounding may swallow a small update whole and still look harmless by the other figures.
    """

    kl: float
    agreement: float
    spread: float
    lost: float = 0.1


LIMITS = {
    "float32": Limits(1e-5, 0.999, 1e-3, 0.01),
    "bfloat16": Limits(5e-3, 0.99, 0.05),
    "float16": Limits(5e-3, 0.99, 0.05),
}  # fmt: skip
"""By the precision that the weights are saved in: what rounding explains, and no more."""


@dataclass(frozen=True)
class Change:
    """A metric before and after, with what can be said of the difference; None where it cannot be compared."""

    metric: str
    before: float | None
    after: float | None
    low: float | None = None
    high: float | None = None
    p: float | None = None


@dataclass(frozen=True)
class Tried:
    """One way of merging: how alike it is, and which share of what the adapter changed is lost (None: not known)."""

    likeness: Likeness
    change: Change
    lost: float | None

    @property
    def distance(self) -> float:
        """How far it is from base + adapter: the KL divergence, or the largest difference where there is none."""
        found = self.likeness.largest if self.likeness.kl is None else self.likeness.kl
        return found if math.isfinite(found) else math.inf

    def as_json(self) -> dict[str, Any]:
        """As in merge.json; what is no finite number is null."""
        said = {**asdict(self.likeness), "agreement": self.likeness.agreement, "lost": self.lost}
        low, high = _interval(self.likeness)
        said = {**said, "agreement_low": low, "agreement_high": high, **asdict(self.change)}
        return _finite(said)


@dataclass(frozen=True)
class Merged:
    """A merged model: its `folder`, the way that was `chosen` of those `tried`, the `limits` that it kept, on which rows; `quantized`
    says whether the adapter was trained on a quantized base."""

    folder: Path
    precision: str
    chosen: str
    tried: Mapping[str, Tried]
    limits: Limits
    source: str
    items: int
    quantized: bool = False

    def as_json(self) -> dict[str, Any]:
        """As in merge.json."""
        return {
            "version": 1, "precision": self.precision, "chosen": self.chosen, "rows": self.source, "items": self.items,
            "limits": _finite(asdict(self.limits)), "tried": {name: one.as_json() for name, one in self.tried.items()},
        }  # fmt: skip


def merge(
    run: str | Path,
    into: str | Path | None = None,
    *,
    task: str = "",
    precision: str = "float32",
    base: str = "nearer",
    rows: str | Path | None = None,
    limit: int = ROWS,
    tolerance: float | None = None,
    agreement: float | None = None,
) -> Merged:
    """Merges a run's adapter into plain weights and proves that they say the same.

    Args:
        run: a finished run's folder, or a folder with a saved model.
        into: where the merged model goes; `merged/` in the run's folder, or beside a model's, where this is left out.
        task: which, where the run is of several.
        precision: what the weights are saved in: float32, bfloat16 or float16.
        base: into which weights an adapter on a quantized base is merged: the "plain" ones, the "dequantized" ones that it
            was trained on, or whichever comes "nearer" to base + adapter. Elsewhere there is the plain base alone.
        rows: a file with labelled rows to compare on; the run's test rows where this is left out.
        limit: how many rows are compared at most.
        tolerance: another limit of the mean KL divergence, or of numbers' largest difference.
        agreement: another limit of the share of decisions that stay.

    Raises:
        ModelError: merging would change what the model says by more than the limits; nothing is written.
        RecipeError: there is nothing to merge, or what was learnt is no change of weights.
        RunDamaged: there is no tuned model, or something else lies where it shall go. DataError: there are no rows.
    """
    _check_options(precision, base, limit, tolerance, agreement)
    folder = part_of(Path(run), task)
    inside = (folder / "model").is_dir()
    place = folder / "model" if inside else folder
    card = card_of(place)
    refuse_unmergeable(place, card)
    if base == "dequantized" and base not in ways(card):
        raise RecipeError(
            Problem(
                where="--base", found="dequantized", allowed="plain: this adapter was not trained on a quantized base"
            )
        )
    if not adapted(place) and card.get("stored", "float32") == precision:
        raise RecipeError(
            Problem(where=f"merge {run}", found=f"its weights are plain already ({card['adaptation']}, {precision})",
                    allowed="a model with an adapter, or another --precision to save it in",
                    to_do=f"use {place} as it is: transformers and every server open it")
        )  # fmt: skip
    default = folder / "merged" if inside else folder.with_name(f"{folder.absolute().name}-merged")
    target = (default if into is None else Path(into)).absolute()
    check_target(target)
    saved = open_saved(place)
    told = held(folder, saved, None if rows is None else Path(rows), limit)
    limits = _limits(precision, tolerance, agreement)
    with folders.beside(target) as stage:
        name = str(card["adaptation"])
        extra = {key: value for key, value in card.items() if key not in _OF_THE_FOLDER}
        run_of = str(told.run.absolute())
        extra |= {"stored": precision, "run": run_of}
        tried = dict[str, Tried]()
        for way in ways(card) if base == "nearer" else [base]:
            save(saved, merged(opened(place, way), precision), stage / way, adaptation_name=name, extra=extra)  # type: ignore[arg-type]
            tried[way] = _tried(saved, open_saved(stage / way), told)
        way = min(tried, key=lambda one: tried[one].distance)
        made = Merged(target, precision, way, tried, limits, told.source, len(told.records), len(ways(card)) > 1)
        if problems := exceeded(made, f"merge {run}"):
            raise ModelError(*problems)
        _note(stage / way, made)
        with storing(target):
            folders.exchange(stage / way, target)
    return made


def _finite(said: Mapping[str, Any]) -> dict[str, Any]:
    """What is no finite number is null: JSON knows no other."""
    return {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in said.items()}


def _note(folder: Path, made: Merged) -> None:
    """Writes the figures beside the model and into its card."""
    write_json(folder / FIGURES, made.as_json())
    card = card_of(folder)
    write_json(folder / CARD, {**card, "merged": made.as_json()})


def _limits(precision: str, tolerance: float | None, agreement: float | None) -> Limits:
    limits = LIMITS[precision]
    if tolerance is not None:
        limits = replace(limits, kl=tolerance, spread=tolerance, lost=math.inf)
    return limits if agreement is None else replace(limits, agreement=agreement)


def _check_options(precision: str, base: str, limit: int, tolerance: float | None, agreement: float | None) -> None:
    problems = []
    if precision not in DTYPES:
        problems.append(
            Problem(where="--precision", found=repr(precision), allowed=listed(list(DTYPES)),
                    to_do=closest(precision, DTYPES) or "choose one of these")
        )  # fmt: skip
    if base not in BASES:
        problems.append(
            Problem(
                where="--base",
                found=repr(base),
                allowed=listed(BASES),
                to_do=closest(base, BASES) or "choose one of these",
            )
        )
    if limit < 1:
        problems.append(Problem(where="--limit", found=str(limit), allowed="at least 1 row"))
    if tolerance is not None and not tolerance >= 0:
        problems.append(Problem(where="--tolerance", found=str(tolerance), allowed="a number from 0 on"))
    if agreement is not None and not 0 <= agreement <= 1:
        problems.append(Problem(where="--agreement", found=str(agreement), allowed="a share from 0 to 1"))
    if problems:
        raise RecipeError(*problems)


def check_target(target: Path, made: str = FIGURES) -> None:
    """A folder that is there must hold what an earlier call made, or nothing.

    Raises:
        RunDamaged: it holds something else.
    """
    if target.is_dir() and not any(target.iterdir()):
        return
    if target.exists() and not (target / made).is_file():
        raise RunDamaged(
            Problem(where=str(target), found="something else is there", allowed="a new folder, or one that this command made",
                    to_do="choose another --into")
        )  # fmt: skip


def side(saved: Saved, kind: Kind) -> Side:
    """A saved model as it is compared: in float32."""
    layout: Literal["packed", "padded"] | None = saved.card.get("layout")
    return Side(ModelForward(saved.model, layout=layout, scale=kind.scale, fixed=True))


def _tried(saved: Saved, again: Saved, told: Held) -> Tried:
    """What the merged model that was read `again` says beside the `saved` one."""
    kinds = [reopen(one, told.recipe) for one in (saved, again)]
    first, second = (side(one, kind) for one, kind in zip((saved, again), kinds, strict=True))
    encoded = told.encoded(kinds[0])
    likeness = alike(kinds[0], encoded, first, second)
    change = changed(
        judged(kinds[0], first.forward, encoded, "adapter"),
        judged(kinds[1], second.forward, encoded, "merged"),
        told.plan,
    )
    lost = None
    if _can_be_switched_off(saved.model):
        effect = alike(kinds[0], encoded, first, replace(first, within=saved.model.disable_adapter))
        if effect.kl is not None and likeness.kl is not None and effect.kl > _EFFECT:
            lost = likeness.kl / effect.kl
    return Tried(likeness, change, lost)


def _can_be_switched_off(model: Any) -> bool:
    """Whether the base can be asked through the adapter: not where a new head, or the base's own biases, have learnt."""
    if not hasattr(model, "disable_adapter") or any(
        ".modules_to_save." in name for name, _ in model.named_parameters()
    ):
        return False
    return all(getattr(config, "bias", "none") == "none" for config in model.peft_config.values())


def judged(kind: Kind, forward: ModelForward, encoded: Encoded, name: str) -> Judged:
    """A model's word on the rows; of replies their likelihood, without texts written."""
    if not kind.task.writes:
        return kind.judged(forward, encoded, name, "held out")
    return replace(kind.validated(forward, encoded), contender=name, split="held out")  # type: ignore[type-var]


def deciding(p: Judged) -> Any:
    """The task's own metric; of replies, which are not written here, their loss."""
    task = task_of(p)
    return task.metric("loss" if task.name in ("chat", "seq2seq") else task.primary)


def changed(before: Judged, after: Judged, plan: Plan) -> Change:
    """The metric that decides before and after, and the interval of its difference."""
    metric = deciding(before)
    values = [None if metric.undefined(p) else metric.value(p) for p in (before.supervised(), after.supervised())]
    found = None if None in values else compare(metric, after, before, plan)
    if found is None:
        return Change(metric.name, values[0], values[1])
    return Change(metric.name, values[0], values[1], found.interval.low, found.interval.high, found.test.p)


def exceeded(made: Merged, where: str) -> list[Problem]:
    """Which of the chosen way's figures lie beyond the limits, and what to do."""
    one, limits = made.tried[made.chosen], made.limits
    said, to_do = one.likeness, _advice(made)
    unit = {"label": "an item", "example": "an item"}.get(said.unit, f"a {said.unit}")
    problems = list[tuple[str, str]]()
    if said.kl is None and not said.largest <= limits.spread:
        problems.append(
            (f"{said.unit}s differ by up to {said.largest:.3g} of their spread", f"at most {limits.spread:g}")
        )
    if said.kl is not None and not said.kl <= limits.kl:
        problems.append((f"mean KL divergence {said.kl:.3g} nats {unit}", f"at most {limits.kl:g}"))
    if said.agreeing is not None and not _interval(said)[1] >= limits.agreement:
        problems.append(
            (f"{said.agreement:.2%} of {said.decided:,} decisions stay", f"at least {limits.agreement:.4g} of them")
        )
    if one.lost is not None and not one.lost <= limits.lost:
        found = f"{one.lost:.1%} of what the adapter changed is lost (by KL divergence)"
        problems.append((found, f"at most {limits.lost:.0%}"))
    return [
        Problem(where=where, found=f"{found}, on {made.items} rows of {made.source}",
                allowed=f"{allowed} for weights in {made.precision}", to_do=to_do)
        for found, allowed in problems
    ]  # fmt: skip


def _advice(made: Merged) -> str:
    if made.chosen == "plain" and made.quantized:
        return "nothing was written: choose --base dequantized, the weights that training saw"
    if made.precision != "float32":
        return "nothing was written: choose --precision float32, or accept the change with --tolerance and --agreement"
    return "nothing was written: keep base + adapter as it is, or accept the change with --tolerance and --agreement"


def _interval(said: Likeness) -> tuple[float, float]:
    """The 95% interval of the share of decisions that stay."""
    found = wilson(said.agreeing or 0, said.decided)
    return float(found.low or 0.0), 1.0 if found.high is None else float(found.high)
