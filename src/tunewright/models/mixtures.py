"""Saved models of one base, added up into a saved model: which go together, and the files of the result.

Weights are read tensor by tensor from the models' own files; no model is built, save a base that has no files (the toy) or
whose names are not those of the tuned model.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from torch import Tensor

from tunewright.core.errors import Problem, RecipeError, listed
from tunewright.core.files import write_json
from tunewright.models import arithmetic, folders
from tunewright.models.arithmetic import Rule
from tunewright.models.loading import LANGUAGE, load
from tunewright.models.quantized_files import is_quantized
from tunewright.models.saving import CARD, base_of

_CONFIG, _ADAPTER = "adapter_config.json", "adapter_model.safetensors"
_ALIKE = {
    "task": "tasks", "problem": "tasks", "labels": "labels, or labels in another order", "types": "types of spans",
    "pair": "columns", "mean": "units of the numbers", "spread": "units of the numbers", "template": "chat templates",
    "prefix": "prefixes",
}  # fmt: skip
"""What the cards of models that are added up must agree on, in words for where they do not."""
_WEIGHTS = re.compile(r"(model|adapter_model)[^/]*\.safetensors|model\.safetensors\.index\.json|adapter_config\.json")
_PLACED = {"base_model_name_or_path", "revision", "inference_mode"}
"""What an adapter's configuration says of its place."""
_HEADS = ("classifier", "score", "pre_classifier")


@dataclass(frozen=True)
class Part:
    """A saved model in `folder`, with its `weight` in the sum, its `card`, and the `seed` of a base without files."""

    folder: Path
    weight: float
    card: Mapping[str, Any]
    seed: int = 0

    @property
    def kind(self) -> str:
        """What peft calls the adapter, such as LORA; "" for plain weights."""
        return str(self.config.get("peft_type", "?")) if self.config else ""

    @property
    def config(self) -> dict[str, Any]:
        """The adapter's own configuration; empty for plain weights."""
        path = self.folder / _CONFIG
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}

    @property
    def tensors(self) -> Stored:
        """What was learnt, or all weights."""
        return Stored([self.folder / _ADAPTER] if self.config else sorted(self.folder.glob("model*.safetensors")))

    def weighing(self, weight: float) -> Self:
        """The same with another weight."""
        return replace(self, weight=weight)


class Stored(Mapping[str, Tensor]):
    """The tensors of safetensors files by name, read when they are asked for."""

    def __init__(self, files: Sequence[Path]) -> None:
        from safetensors import safe_open

        opened: list[Any] = [safe_open(file, "pt") for file in files]
        self._where = {name: one for one in opened for name in one.keys()}  # noqa: SIM118  (it is no mapping)

    def __getitem__(self, name: str) -> Tensor:
        tensor: Tensor = self._where[name].get_tensor(name)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._where)

    def __len__(self) -> int:
        return len(self._where)

    def shape(self, name: str) -> list[int]:
        """A tensor's shape, without reading it."""
        return list(self._where[name].get_slice(name).get_shape())


def refuse_unlike(parts: Sequence[Part], rule: Rule) -> None:
    """Sees that the models can be added up.

    Raises:
        RecipeError: with every reason why not.
    """
    first, total = parts[0], sum(part.weight for part in parts)
    problems = [
        Problem(where=str(part.folder), found="weights in few bits, which cannot be added up", allowed="plain weights, or adapters",
                to_do="add up what it was made from, and quantize the sum: merge --quantize")
        for part in parts if not part.kind and is_quantized(part.folder)
    ]  # fmt: skip
    for other in parts[1:]:
        where = f"{other.folder} beside {first.folder}"
        apart = [word for name, word in _ALIKE.items() if other.card.get(name) != first.card.get(name)]
        if other.card["base"]["sha256"] != first.card["base"]["sha256"]:
            bases = " and ".join(str(p.card["base"]["name"]) for p in (first, other))
            problems.append(
                Problem(where=where, found=f"they began with different weights ({bases})", allowed="models of one base",
                        to_do="train both from the same base")
            )  # fmt: skip
        if other.kind != first.kind:
            kinds = " and ".join(p.kind or "plain weights" for p in (first, other))
            problems.append(Problem(where=where, found=f"they learnt different things: {kinds}",
                                    allowed="models adapted alike", to_do="merge the adapters first, then combine"))  # fmt: skip
        elif first.kind != "LORA" and (unlike := _unlike(first, other)):
            problems.append(Problem(where=where, found=f"what they learnt is unlike: {listed(unlike, 3)}",
                                    allowed="models adapted alike"))  # fmt: skip
        if apart:
            problems.append(Problem(where=where, found=f"they have other {listed(list(dict.fromkeys(apart)))}",
                                    allowed="models of the same task"))  # fmt: skip
    problems += _own(first, rule, total)
    if problems:
        raise RecipeError(*problems)


def _own(first: Part, rule: Rule, total: float) -> list[Problem]:
    """What of the kind of adapter stands in the way."""
    where, kind = str(first.folder), first.kind
    if kind == "LORA" and (first.config.get("use_dora") or any("magnitude" in name for name in first.tensors)):
        return [Problem(where=where, found="DoRA divides by the norm of the sum: its adapters cannot be added up",
                        allowed="LoRA", to_do="merge each one first, then combine the merged models")]  # fmt: skip
    if kind and kind != "LORA" and rule.method != "linear":
        return [Problem(where="--method", found=f"{rule.method} of {kind}", allowed="linear",
                        to_do="merge the adapters first, then combine the merged models")]  # fmt: skip
    if kind not in ("", "LORA", "IA3") and abs(total - 1) > 1e-6:
        return [Problem(where=where, found=f"weights that sum to {total:g}: {kind} can be averaged only",
                        allowed="weights that sum to 1", to_do="merge the adapters first, where they can be merged")]  # fmt: skip
    if abs(total) < 1e-6 and rule.method == "linear" and _has_head(first):
        return [Problem(where="weights", found="they sum to 0, and heads are averaged", allowed="another sum")]
    return []


def _has_head(first: Part) -> bool:
    return str(first.card.get("problem")) not in LANGUAGE


def _unlike(first: Part, other: Part) -> list[str]:
    """Tensors of other names or shapes; of adapters also options: VeRA's seed says what its vectors are between."""
    a, b = first.tensors, other.tensors
    ours, theirs = first.config, other.config
    options = sorted(k for k in {*ours, *theirs} - _PLACED if _sorted(ours.get(k)) != _sorted(theirs.get(k)))
    if options:
        return [f"option {name}" for name in options]
    return sorted(name for name in {*a, *b} if name not in a or name not in b or a.shape(name) != b.shape(name))


def _sorted(value: Any) -> Any:
    return sorted(value) if isinstance(value, list) else value


def mixed(parts: Sequence[Part], rule: Rule, stage: Path, target: Path) -> float:
    """Writes the combination into the empty folder `stage`, which will be moved to `target`.

    Returns:
        The share of the deltas' square norm that is kept, at the module where that is least; 1 where nothing is cut.

    Raises:
        ModelError: the base that is needed cannot be had, or is another one.
    """
    first, weights = parts[0], [part.weight for part in parts]
    kept = 1.0
    for name in first.card["files"]:
        if not _WEIGHTS.fullmatch(name):
            (stage / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(first.folder / name, stage / name)
    if first.kind == "LORA":
        read = [(part.tensors, part.config) for part in parts]
        tensors, config, kept = arithmetic.loras(read, weights, rule)
    elif first.kind:
        tensors = arithmetic.others([p.tensors for p in parts], weights, lambda name: 1.0 if ".ia3_l" in name else None)
        config = first.config
    else:
        needed = rule.method != "linear" or abs(sum(weights) - 1) > 1e-6
        base = _base(first) if needed else None
        tensors, config = arithmetic.plain([p.tensors for p in parts], weights, rule, base), None
    if config is not None:
        if (stage / "base").is_dir():
            config["base_model_name_or_path"] = str(target / "base")
        write_json(stage / _CONFIG, config)
    _store(tensors, stage / (_ADAPTER if config is not None else "model.safetensors"))
    write_json(stage / CARD, _card(parts, rule, stage))
    return kept


def _store(tensors: Mapping[str, Tensor], path: Path) -> None:
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata={"format": "pt"})


def _card(parts: Sequence[Part], rule: Rule, stage: Path) -> dict[str, Any]:
    """The first model's card, with what was added up; thresholds are averaged as heads are."""
    card = dict(parts[0].card)
    made = [{"folder": str(p.folder.absolute()), "weight": p.weight, "files": p.card["files"]} for p in parts]
    known = [p.card.get("thresholds") or [] for p in parts]
    total = sum(p.weight for p in parts)
    if known[0] and len(parts) > 1:
        card["thresholds"] = [
            sum(p.weight * x for p, x in zip(parts, row, strict=True)) / total for row in zip(*known, strict=True)
        ]
    card["combined"] = {"parts": made, **asdict(rule)}
    return {**card, "files": folders.stamps(stage)}


def _base(first: Part) -> dict[str, Tensor]:
    """The weights from which the first model's training began, by its own names; without the head where that was new.

    Raises:
        ModelError: they cannot be had, or are others.
    """
    card = dict(first.card)
    found = base_of(first.folder, card)
    loaded = load(
        found, [str(x) for x in card["labels"]], first.seed, card.get("problem") or "single_label_classification"
    )
    fresh = set(getattr(loaded.model, "new_parameters", ()))
    state: dict[str, Tensor] = loaded.model.state_dict()
    if loaded.head == "new" and _has_head(first):
        fresh |= {name for name in state if name.split(".")[0] in _HEADS}
    return {name: tensor for name, tensor in state.items() if name not in fresh}
