"""Everything that can be wrong, found before any training. Writes nothing."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tunewright import data as data_side
from tunewright.core import registry
from tunewright.core.errors import DataError, Problem, TunewrightError, counted
from tunewright.core.tensors import parameters_of, trainable
from tunewright.data_models import models_of
from tunewright.fitting import attached, rate_for, update_of
from tunewright.identity import base_model, identify, placed, refuse_another
from tunewright.kinds import Encoded, Kind, begin, refusals
from tunewright.kinds.base import most_tokens
from tunewright.models.forward import PACKED
from tunewright.models.heads import head_of
from tunewright.models.loading import Found, find
from tunewright.models.precision import chosen, chosen_device
from tunewright.models.several import share
from tunewright.recipe import Recipe
from tunewright.recipe_task import CONVERSATIONS
from tunewright.showing import shown, suspicious
from tunewright.suiting import refuse_unsuited
from tunewright.tracking import RunFolder
from tunewright.training import Plan

T = TypeVar("T")


@dataclass
class Findings:
    """`errors` stop a run; `warnings` are doubts; `facts` is what was found out."""

    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    exit_code: int = 0

    def gather(self, act: Callable[[], T]) -> T | None:
        """The value of `act`, or None with its problems entered."""
        try:
            return act()
        except TunewrightError as error:
            self.errors += error.problems
            self.exit_code = self.exit_code or error.exit_code
            return None

    def as_json(self) -> dict[str, Any]:
        """The findings as plain values."""
        return {
            "ok": not self.errors,
            "errors": [vars(p) for p in self.errors],
            "warnings": [vars(p) for p in self.warnings],
            "facts": self.facts,
        }


def check(recipe: Recipe, base: Path = Path(), folder: Path | None = None, show: int = 0) -> Findings:
    """Reads the data, finds the model, counts tokens, and attaches the adaptation, without training or writing.

    Args:
        show: so many training rows are put into the facts as training reads them ("shown").
    """
    found, recipe = Findings(), placed(recipe, base)
    place = found.gather(lambda: find(base_model(recipe, base), recipe.model.revision))
    if recipe.task == "multitask":
        _look_at_all(recipe, base, place, found, show)
    else:
        _look(recipe, base, place, found, show)
    if folder is not None:
        found.gather(lambda: _owned(recipe, base, place, RunFolder(folder)))
        _room(folder, found)
    return found


def _look(recipe: Recipe, base: Path, place: Found | None, found: Findings, show: int = 0) -> Kind | None:
    """One task's data and model; its kind, where it can be had."""
    prepared = found.gather(lambda: _prepared(recipe, base))
    device = found.gather(lambda: chosen_device(recipe.model.device))
    if prepared is not None:
        _describe(prepared, recipe.task, found)
    if prepared is None or place is None or device is None:
        return None
    kind = found.gather(lambda: begin(recipe, place, prepared.splits))
    if kind is not None:
        encoded = {name: kind.encode(part, name == "train") for name, part in prepared.splits.items()}
        found.gather(lambda: refuse_unsuited(recipe, encoded["train"].examples))
        _refused(encoded, kind, found)
        _suspicious(encoded, kind, found)
        if show:
            found.facts["shown"] = shown(kind, encoded["train"], show, recipe.seed)
        _lengths(recipe, encoded, kind, found)
        found.gather(lambda: _objective(recipe, encoded, kind))
        _model_facts(recipe, encoded, kind, found)
    return kind


def _look_at_all(recipe: Recipe, base: Path, place: Found | None, found: Findings, show: int = 0) -> None:
    """Every task as if it were alone, and whether they can share a body."""
    kinds, facts = dict[str, Kind](), dict[str, dict[str, Any]]()
    for name, part in recipe.parts().items():
        own = Findings()
        kind = _look(part, base, place, own, show)
        found.errors += [replace(p, where=f"tasks.{name}, {p.where}") for p in own.errors]
        found.warnings += [replace(p, where=f"tasks.{name}, {p.where}") for p in own.warnings]
        found.exit_code = found.exit_code or own.exit_code
        facts[name] = own.facts
        if kind is not None:
            kinds[name] = kind
    if len(kinds) == len(facts):
        found.gather(lambda: share({name: kind.loaded.model for name, kind in kinds.items()}))
    learnt = [own["training"] for own in facts.values() if "training" in own]
    found.facts |= {"task": recipe.task, "tasks": facts}
    if len(learnt) == len(facts):
        steps = -(-sum(one["examples"] for one in learnt) // recipe.training.batch)
        steps = min(steps, recipe.training.steps or steps)
        found.facts["training"] = {"steps": steps, "examples": sum(one["examples"] for one in learnt),
                                   "rate": learnt[0]["rate"]}  # fmt: skip


def _owned(recipe: Recipe, base: Path, place: Found | None, folder: RunFolder) -> None:
    """Sees that `run` would take the folder.

    Raises:
        RunDamaged: it holds another run, or other things than a run.
    """
    if not os.path.exists(folder.path):  # noqa: PTH110  (Path.exists raises on a name that is too long)
        return
    folder.claim()
    known = folder.facts()
    if known and place is not None:
        with suppress(DataError):  # reading has told of the files already
            refuse_another(folder, identify(recipe, base, place, known), known)


def _prepared(recipe: Recipe, base: Path) -> data_side.Prepared:
    options = recipe.options(base)
    return data_side.prepare(data_side.gather(options), options, recipe.seed, models_of(recipe, base))


_OF_THE_CARD = (
    "targets", "labels_per_item", "types", "spans_per_item", "conversation", "turns", "systems", "tools", "thumbs",
    "characters", "ratio", "sizes",
)  # fmt: skip


def _describe(prepared: data_side.Prepared, task: str, found: Findings) -> None:
    found.warnings += prepared.warnings
    sizes = {name: len(part) for name, part in prepared.splits.items()}
    if sizes["test"] < 100:
        found.warnings.append(
            Problem(where="test split", found=counted(sizes["test"], "row"), allowed="200 and more show a difference of 10 points",
                    to_do="bring more rows, or raise data.shares.test")
        )  # fmt: skip
    if sizes["test"] < 2:
        found.errors.append(Problem(where="test split", found=counted(sizes["test"], "row"), allowed="at least 2"))
        found.exit_code = found.exit_code or 3
    found.facts["splits"] = sizes
    said = data_side.card(prepared)
    found.facts["task"] = task
    found.facts["classes"] = {row["label"]: row["train"] + row["validation"] + row["test"] for row in said["classes"]}
    found.facts |= {name: said[name] for name in _OF_THE_CARD if name in said}
    found.facts["ledger"] = prepared.ledger.as_json()["stages"]
    found.facts["defects"] = {code: defect.count for code, defect in prepared.defects.items()}
    found.facts["defect_titles"] = {code: data_side.defect_title(code) for code in prepared.defects}
    found.facts["notes"] = list(prepared.notes)


def _refused(encoded: Mapping[str, Encoded], kind: Kind, found: Findings) -> None:
    """Rows that training would leave out, and what the kind of task has to say."""
    found.facts["notes"] = [*found.facts.get("notes", []), *kind.notes()]
    left = {name: part.left for name, part in encoded.items()}
    why = refusals(left)
    if why:
        found.facts["left_out"] = dict(Counter(one.reason for part in left.values() for one in part))
        found.warnings.append(Problem(where="data", found=why, to_do=_remedy(found.facts["left_out"], kind)))
        kept = len(encoded["test"].records)
        if kept < 2:
            found.errors.append(
                Problem(
                    where="data, test split",
                    found=f"{counted(kept, 'row')} can be encoded",
                    allowed="at least 2, better 200",
                )
            )
            found.exit_code = found.exit_code or 3
    if not encoded["train"].examples:
        found.errors.append(Problem(where="data, train split", found="no row can be encoded"))
        found.exit_code = found.exit_code or 3


def _suspicious(encoded: Mapping[str, Encoded], kind: Kind, found: Findings) -> None:
    """Rows whose messages hold what reads like the template's own marks."""
    records = {r.id: r for part in encoded.values() for r in part.records}
    hits = suspicious(kind, list(records.values()))
    if hits:
        first = records[hits[0].id].source
        found.facts["control_text"] = len(hits)
        found.warnings.append(
            Problem(where="data", found=f"{counted(len(hits), 'row')} with text that reads like the chat template's own marks; "
                    f"the first: {first.file}, line {first.line}: {hits[0].detail}",
                    allowed="messages without such text: the model reads a turn that nobody took",
                    to_do="take it out of the messages, or see that it is meant")
        )  # fmt: skip


def _remedy(why: Mapping[str, int], kind: Kind) -> str:
    """What can be done about rows that cannot be encoded."""
    if "too_long" not in why:
        return "they are left out; see the reasons"
    ways = ["shorten them"]
    if kind.limit < kind.loaded.limit:
        ways.append(f"raise model.max_tokens (up to {kind.loaded.limit:,})")
    if kind.task.name in CONVERSATIONS:
        ways.append("set data.too_long: split_turns, which leaves leading turns out")
    return f"{', or '.join(ways)}; else they are left out"


def _objective(recipe: Recipe, encoded: Mapping[str, Encoded], kind: Kind) -> None:
    """Prepares the objective for these labels.

    Raises:
        RecipeError: its weights or scale do not go with them.
    """
    objective: Any = registry.build("objective", recipe.objective)
    if hasattr(objective, "prepare"):
        objective.prepare(kind.facts([e for e in encoded["train"].examples if e.target is not None]))


def _lengths(recipe: Recipe, encoded: Mapping[str, Encoded], kind: Kind, found: Findings) -> None:
    """Token lengths against the model's limit, and the share that would be cut."""
    limit, loaded = kind.limit, kind.loaded
    most = most_tokens(recipe, loaded)
    if recipe.model.max_tokens and recipe.model.max_tokens > most:
        found.errors.append(
            Problem(where="model.max_tokens", found=str(recipe.model.max_tokens),
                    allowed=f"at most {most}, what {recipe.model.name} was made for"
                    + ("" if most == loaded.limit else " without the places of the virtual tokens"))
        )  # fmt: skip
        found.exit_code = found.exit_code or 2
    examples = [e for part in encoded.values() for e in part.examples]
    full = np.array([e.full for e in examples] or [0])
    cut = sum(part.cut for part in encoded.values())
    found.facts["tokens"] = {
        "limit": limit,
        "median": int(np.median(full)),
        "p95": int(np.percentile(full, 95)),
        "longest": int(full.max()),
        "cut": cut,
        "share_cut": round(cut / len(full), 4),
    }
    unknown = getattr(loaded.tokenizer, "unk_token_id", None)
    if unknown is not None:
        tokens = np.concatenate([e.tokens for e in examples] or [np.zeros(1, np.int64)])
        share = float((tokens == unknown).mean())
        found.facts["tokens"]["unknown_share"] = round(share, 4)
        if share > 0.05:
            found.warnings.append(
                Problem(where="tokenizer", found=f"{share:.0%} of the tokens are unknown to {recipe.model.name}",
                        to_do="choose a model of the texts' language")
            )  # fmt: skip
    if cut:
        found.warnings.append(
            Problem(where="model.max_tokens", found=f"{cut} of {len(full)} texts ({cut / len(full):.1%}) {'is' if cut == 1 else 'are'} "
                    f"longer than {limit} tokens (the longest has {int(full.max())}) and will be cut at the end",
                    to_do="shorten them, or choose a model with a longer context")
        )  # fmt: skip


def _model_facts(recipe: Recipe, encoded: Mapping[str, Encoded], kind: Kind, found: Findings) -> None:
    loaded = kind.loaded
    size = parameters_of(loaded.model)
    adaptation = registry.build("adaptation", recipe.adaptation)
    model = found.gather(lambda: attached(recipe, adaptation, loaded))
    t = recipe.training
    rows = max(len(encoded["train"].examples), 1)
    plan = Plan.of(
        rows,
        rows * found.facts["tokens"]["median"],
        epochs=t.epochs,
        batch=t.batch,
        batch_tokens=t.batch_tokens,
        limit=t.steps,
    )
    if model is not None and chosen_device(recipe.model.device).type == "cpu":
        found.gather(lambda: update_of(recipe, 0.0)[0].bind(trainable(model)))
    family = str(loaded.model.config.model_type)
    packed = recipe.model.layout != "padded" and family in PACKED and head_of(loaded.model) is not None
    found.facts["model"] = {
        "name": recipe.model.name, "architecture": type(loaded.model).__name__, "parameters": size,
        "trainable": sum(p.numel() for p in trainable(model).values()) if model is not None else None,
        "precision": chosen(recipe.model.precision, recipe.model.device), "layout": "packed" if packed else "padded",
        "head": loaded.head,
    }  # fmt: skip
    found.facts["training"] = {
        "steps": plan.steps, "examples": plan.examples,
        "rate": rate_for(adaptation, size) if t.rate == "auto" else t.rate,
    }  # fmt: skip


def _room(folder: Path, found: Findings) -> None:
    """Whether the disk has room for checkpoints and model."""
    existing = next(p for p in (folder, *folder.absolute().parents) if os.path.exists(p))  # noqa: PTH110
    free = shutil.disk_usage(existing).free
    learns = found.facts.get("model", {}).get("trainable") or 0
    size = found.facts.get("model", {}).get("parameters") or 0
    need = 3 * 4 * learns * 3 + 4 * size
    found.facts["disk"] = {"free_mib": free >> 20, "needed_mib": need >> 20}
    if need > free:
        found.errors.append(
            Problem(where=str(folder), found=f"{free >> 20} MiB free", allowed=f"about {need >> 20} MiB for checkpoints and model",
                    to_do="free some space or choose another --folder")
        )  # fmt: skip
        found.exit_code = found.exit_code or 7
