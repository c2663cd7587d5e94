"""`merge`: an adapter into plain weights, with the evidence that they say the same.

The merged model is saved, read back from disk, and held against base + adapter on held-out rows. Where it differs by more
than the limits it is refused, and nothing is left in its place. Both are computed in float32, so that what is measured is
what merging and rounding did to the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from tunewright.core.errors import ModelError, Problem, RecipeError, RunDamaged, closest, listed
from tunewright.core.files import storing, write_json
from tunewright.core.outcomes import Judged
from tunewright.evaluation.compare import Plan, compare
from tunewright.heldout import Held, held
from tunewright.kinds import Encoded, Kind, reopen
from tunewright.kinds.likeness import alike
from tunewright.merge_figures import LIMITS, Change, FewBits, Limits, Merged, Tried, exceeded, limits_of
from tunewright.metrics import task_of
from tunewright.models import folders, quantized_files
from tunewright.models.forward import ModelForward
from tunewright.models.likeness import Side
from tunewright.models.loading import auto_class
from tunewright.models.merging import DTYPES, adapted, merged, opened, refuse_unmergeable, ways
from tunewright.models.saving import CARD, Saved, card_of, open_saved, save
from tunewright.predicting import part_of

__all__ = ["FIGURES", "LIMITS", "Change", "Limits", "Merged", "merge"]

FIGURES = "merge.json"
BASES = ("plain", "dequantized", "nearer")
ROWS = 500
"""Rows that are compared where nothing is said."""
_EFFECT = 1e-8
"""Below this mean KL divergence from the base an adapter has learnt nothing that could be lost."""
_OF_THE_FOLDER = ("version", "labels", "limit", "files", "adaptation")


def merge(
    run: str | Path,
    into: str | Path | None = None,
    *,
    task: str = "",
    precision: str = "float32",
    quantize: str | None = None,
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
        quantize: nf4, fp4 or int8: the merged weights of the layers are stored in so few bits, as bitsandbytes and transformers
            open them; what is left is in `precision`. The model is compared as it is opened here, and as plain
            transformers opens it.
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
    _check_options(precision, quantize, base, limit, tolerance, agreement)
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
    if not adapted(place) and card.get("stored", "float32") == (quantize or precision):
        raise RecipeError(
            Problem(where=f"merge {run}", found=f"its weights are plain already ({card['adaptation']}, {quantize or precision})",
                    allowed="a model with an adapter, or another --precision or --quantize to save it in",
                    to_do=f"use {place} as it is: transformers and every server open it")
        )  # fmt: skip
    default = folder / "merged" if inside else folder.with_name(f"{folder.absolute().name}-merged")
    target = (default if into is None else Path(into)).absolute()
    check_target(target)
    saved = open_saved(place)
    told = held(folder, saved, None if rows is None else Path(rows), limit)
    plain = precision if quantize is None else "float32"
    limits = limits_of(plain, tolerance, agreement)
    with folders.beside(target) as stage:
        name = str(card["adaptation"])
        extra = {key: value for key, value in card.items() if key not in _OF_THE_FOLDER}
        run_of = str(told.run.absolute())
        extra |= {"stored": plain, "run": run_of}
        tried = dict[str, Tried]()
        for way in ways(card) if base == "nearer" else [base]:
            save(saved, merged(opened(place, way), plain), stage / way, adaptation_name=name, extra=extra)  # type: ignore[arg-type]
            tried[way] = _tried(saved, open_saved(stage / way), told)
        few = None if quantize is None else _few_bits(saved, stage, list(tried), told, quantize, precision,
                                                      limits_of(quantize, tolerance, agreement))  # fmt: skip
        way = min(tried, key=lambda one: tried[one].distance) if few is None else few.nearest
        made = Merged(target, plain, way, tried, limits, told.source, len(told.records), len(ways(card)) > 1, few)
        if problems := exceeded(made, f"merge {run}"):
            raise ModelError(*problems)
        written = stage / (way if few is None else _in_few_bits(way))
        _note(written, made)
        with storing(target):
            folders.exchange(written, target)
    return made


def _in_few_bits(way: str) -> str:
    return f"{way}-in-few-bits"


def _few_bits(
    saved: Saved, stage: Path, tried: Sequence[str], told: Held, kind: str, precision: str, limits: Limits
) -> FewBits:  # fmt: skip
    """Stores each merged model of `stage` in few bits, and opens it again, here and by plain transformers.

    Which way is nearest may change by it: weights that stand on the levels of 4 bits, as the dequantized ones do, round
    back to the same levels, and a small update is gone; from the plain ones it is not.
    """
    found = {}
    for way in tried:
        plain, place = open_saved(stage / way), stage / _in_few_bits(way)
        model = quantized_files.quantize(plain.model, kind, DTYPES[precision], "--quantize")  # type: ignore[arg-type]
        card = {key: value for key, value in plain.card.items() if key not in _OF_THE_FOLDER} | {"stored": kind}
        save(saved, model, place, adaptation_name=str(plain.card["adaptation"]), extra=card, quantized=True)
        here = open_saved(place)
        made_for = auto_class(str(here.card.get("problem") or "single_label_classification"))
        there = replace(here, model=quantized_files.opened_plainly(place, made_for))
        found[way] = {"tunewright": _tried(saved, here, told), "transformers": _tried(saved, there, told)}
    sizes = [
        sum(p.stat().st_size for p in (stage / name).glob("*.safetensors"))
        for name in (_in_few_bits(tried[0]), tried[0])
    ]
    return FewBits(kind, found, limits, *sizes)


def _note(folder: Path, made: Merged) -> None:
    """Writes the figures beside the model and into its card."""
    write_json(folder / FIGURES, made.as_json())
    card = card_of(folder)
    write_json(folder / CARD, {**card, "merged": made.as_json()})


def _check_options(
    precision: str, quantize: str | None, base: str, limit: int, tolerance: float | None, agreement: float | None
) -> None:  # fmt: skip
    problems = []
    if quantize is not None and quantize not in quantized_files.KINDS:
        problems.append(
            Problem(where="--quantize", found=repr(quantize), allowed=listed(quantized_files.KINDS),
                    to_do=closest(quantize, quantized_files.KINDS) or "choose one of these")
        )  # fmt: skip
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
