"""A tuned model in a folder that plain transformers or peft opens, and back.

The folder holds Hugging Face's own files (`config.json` and `model.safetensors`, or peft's adapter), the tokenizer, and
`tunewright.json`, which says what the scores mean. It is written beside its place and renamed.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tunewright.adaptations import stores_of
from tunewright.adaptations.starts import given_back, restate, started_of
from tunewright.adaptations.stored import dequantized, is_quantized, state_of
from tunewright.core.errors import ModelError, Problem, RecipeError, RunDamaged, listed
from tunewright.core.files import write_json
from tunewright.core.registry import build
from tunewright.core.tensors import Adaptation
from tunewright.models import folders, quantized_files
from tunewright.models.dropout import KeyedDropout
from tunewright.models.loading import CATALOGUE, LANGUAGE, Found, Loaded, auto_class, find, kept, quiet
from tunewright.models.precision import chosen_device
from tunewright.models.rows import LiveRows
from tunewright.models.shared_base import SharedBase

CARD = "tunewright.json"
_NEEDED = ("labels", "limit", "base", "adaptation", "precision", "files")


@dataclass(frozen=True)
class Saved(Loaded):
    """A tuned model read back, in evaluation mode; `card` is its tunewright.json."""

    precision: str
    card: dict[str, Any]


def save(
    loaded: Loaded, model: nn.Module, folder: Path, *, adaptation_name: str, extra: dict[str, Any], quantized: bool = False
) -> None:  # fmt: skip
    """Writes the tuned `model` to `folder`, whole or not at all; a folder that is there is replaced.

    Args:
        loaded: what the model was made from.
        model: without anything of ours in it (`ModelForward.release`, `rows.remove`); a peft model is saved as an
            adapter, with its base in `base/` where the base has no place of its own.
        folder: where it goes.
        adaptation_name: as in the recipe.
        extra: more entries of tunewright.json, "precision" among them (float32 where it is not given).
        quantized: a plain model's weights are written as `quantized_files.quantize` has made them, in few bits.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    if any(isinstance(m, (KeyedDropout, LiveRows)) for m in model.modules()):
        raise ValueError("release the forward and remove the live rows before saving")
    folder = folder.absolute()
    with folders.written(folder) as part:
        base = _write_model(loaded, model, part, folder, quantized)
        loaded.tokenizer.save_pretrained(part)
        card = {
            "version": 1, "task": "classification", "problem": getattr(model_config(model), "problem_type", None),
            "labels": list(loaded.labels), "limit": loaded.limit, "base": base, "adaptation": adaptation_name,
            "precision": "float32", **extra,
        }  # fmt: skip
        write_json(part / CARD, {**card, "files": folders.stamps(part)})


def model_config(model: Any) -> Any:
    """transformers' configuration of a model, also below an adapter."""
    return (model.get_base_model() if hasattr(model, "get_base_model") else model).config


def _write_model(loaded: Loaded, model: Any, part: Path, folder: Path, quantized: bool) -> dict[str, Any]:
    """The model's own files; returns what tunewright.json says of the base."""
    found = loaded.found
    place = str(Path(found.place).absolute()) if found.place and found.local else found.place
    base: dict[str, Any] = {
        "name": found.name,
        "place": place,
        "sha256": found.fingerprint()[0],
        "revision": found.revision,
    }
    quiet()
    if quantized:
        quantized_files.write(model, part)
        return base
    if not hasattr(model, "peft_config"):
        dequantized(model)
        model.save_pretrained(part)
        return base
    if any(getattr(m, "merged", False) is True for m in model.modules()):
        raise ValueError("unmerge the adapter before saving: the base's weights hold it")
    if place is None or found.adapter is not None:
        place = str(folder / "base")
        _save_base(model, loaded.tokenizer, part / "base")
        base["sha256"] = Found("base", str(part / "base")).fingerprint()[0]
        base["dequantized"] = is_quantized(model)
    for config in model.peft_config.values():
        config.base_model_name_or_path, config.revision = place, found.revision
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        model.save_pretrained(str(part), save_embedding_layers=False)
    if started_of(model):
        restate(part, started_of(model))
    return base


def _save_base(model: Any, tokenizer: Any, place: Path) -> None:
    """The plain model below an adapter, with the weights that it had before; those that were quantized, dequantized."""
    inner = model.get_base_model()
    plain = type(inner)(inner.config)
    own = plain.state_dict().keys()
    plain.load_state_dict({name: value for name, value in plain_weights(model).items() if name in own})
    plain.save_pretrained(place)
    tokenizer.save_pretrained(place)


_BELOW = ("base_layer", "original_module")
"""What peft calls the module that one of its own stands in front of."""


def plain_weights(model: Any) -> dict[str, Tensor]:
    """The weights of the model below an adapter of any kind, by the names that they have without it."""
    inner = model.get_base_model()
    fronts = {
        name: held for name, module in inner.named_modules() for held, _ in module.named_children() if held in _BELOW
    }
    named = ((_plain_name(name, fronts), value) for name, value in state_of(inner).items())
    weights = {name: value for name, value in named if name is not None}
    for name, value in given_back(model).items():
        weights[f"{name.removeprefix('base_model.model.')}.weight"] = value
    return weights


def _plain_name(name: str, fronts: Mapping[str, str]) -> str | None:
    """A weight's name without the modules in `fronts`, each with what it stands in front of; None for their own weights."""
    parts, out = name.split("."), []
    for i, part in enumerate(parts):
        held = fronts.get(".".join(parts[:i]))
        if held is None:
            out.append(part)
        elif part != held:
            return None
    return ".".join(out)


def open_saved(folder: Path, shared: SharedBase | None = None, *, quantized: bool = True) -> Saved:
    """The tuned model of a folder that `save` wrote.

    The base of an adapter is looked for by its name in the catalogue, then at its place; it is quantized as it was for
    training.

    Args:
        folder: what `save` wrote.
        shared: the base of other adapters, in memory already or read with this one; of its tensors there is one copy.
        quantized: False puts an adapter that was trained on a quantized base on the base as it is.

    Raises:
        RunDamaged: the folder is none of ours, or files are missing, changed or unreadable.
        ModelError: an adapter's base cannot be had or has changed, or is not `shared`, or another version wrote the folder.
    """
    quiet()
    if not folder.is_dir() and folders.before(folder).is_dir():
        folder = folders.before(folder)
    card = card_of(folder)
    labels = [str(label) for label in card["labels"]]
    adapter = (folder / "adapter_config.json").is_file()
    if shared is not None and not adapter:
        raise ModelError(
            Problem(where=str(folder), found="a whole model, not an adapter", allowed="what lora, bottleneck and the like leave",
                    to_do="open it by itself")
        )  # fmt: skip
    if not adapter:
        found = Found(str(card["base"]["name"]), card["base"]["place"])
    else:
        found = (
            base_of(folder, card) if shared is None else shared.of(folder, card["base"], lambda: base_of(folder, card))
        )
    from transformers import AutoTokenizer

    problem = str(card.get("problem") or "single_label_classification")
    options: dict[str, Any] = {"trust_remote_code": False, "dtype": torch.float32, "use_safetensors": True}
    named: dict[str, Any] = {}
    if problem not in LANGUAGE:
        named = {
            "num_labels": len(labels), "id2label": dict(enumerate(labels)),
            "label2id": {label: i for i, label in enumerate(labels)},
            "problem_type": None if problem in ("token_classification", "reward") else problem,
        }  # fmt: skip

    def tokens() -> Any:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)

    try:
        tokenizer = tokens() if shared is None else shared.tokenizer(card["files"], tokens)
        if not adapter:
            model = quantized_files.taken(
                auto_class(problem).from_pretrained(folder, local_files_only=True, **options, **named)
            )
    except Exception as error:
        raise _damaged(folder, f"it cannot be read: {_first(error)}") from error
    if adapter:
        stores = _stores(card) if quantized else None
        model = _with_adapter(folder, found, problem, options, named, shared, stores)
        inner = model.get_base_model()
        if inner.config.pad_token_id is None or hasattr(inner, "score"):
            inner.config.pad_token_id = tokenizer.pad_token_id
    return Saved(
        found,
        model.eval().to(chosen_device("cpu" if card.get("device") == "cpu" else "auto")),
        tokenizer,
        tuple(labels),
        int(card["limit"]),
        "checkpoint",
        str(card["precision"]),
        card,
    )


def _stores(card: dict[str, Any]) -> Adaptation | None:
    """How the base of an adapter keeps its frozen weights; None where it is as it is."""
    if card["base"].get("dequantized") or not card.get("adapted"):
        return None
    return stores_of(build("adaptation", card["adapted"]))


def _with_adapter(
    folder: Path, found: Found, problem: str, options: dict[str, Any], named: dict[str, Any], shared: SharedBase | None,
    stores: Adaptation | None = None,
) -> Any:  # fmt: skip
    from peft import PeftModel

    from tunewright.adaptations.bottleneck_layers import register

    register()
    if stores is not None:
        options = {**options, "dtype": "auto"}

    def read() -> Any:
        base = auto_class(problem).from_pretrained(
            found.place, revision=found.revision or "main", local_files_only=found.local, ignore_mismatched_sizes=True,
            **options, **named,
        )  # fmt: skip
        return base if stores is None else kept(base, stores)

    try:
        with torch.random.fork_rng():
            base = read() if shared is None else shared.model(auto_class(problem), named, read, stores)
    except RecipeError:
        raise
    except Exception as error:
        raise ModelError(
            Problem(where=f"model {found.name}", found=f"the adapter's base cannot be read: {_first(error)}",
                    to_do="put the base model back where it was")
        ) from error  # fmt: skip
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.filterwarnings("ignore", message="fan_in_fan_out", category=UserWarning)  # it sets that right
            warnings.filterwarnings("ignore", ".*tie_word_embeddings", UserWarning)  # merging sees to that
            model = PeftModel.from_pretrained(base, str(folder), local_files_only=True)
    except Exception as error:
        raise _damaged(folder, f"the adapter cannot be read: {_first(error)}") from error
    finally:
        moved = shared is not None and shared.restore()
    if moved:
        raise ModelError(
            Problem(where=str(folder), found="this adapter changes the weights of its base when it is opened",
                    allowed="beside others, adapters that leave their base as it is", to_do="open it by itself")
        )  # fmt: skip
    return model


def base_of(folder: Path, card: dict[str, Any]) -> Found:
    """The base of an adapter.

    Raises:
        ModelError: it is nowhere, or it is not what the adapter was trained on.
    """
    base = card["base"]
    if (folder / "base").is_dir():
        found = Found("base", str(folder / "base"))
    elif base["name"] in CATALOGUE:
        found = find(base["name"])
    else:
        found = find(str(base["place"] or base["name"]), base.get("revision"))
    if found.local and found.fingerprint()[0] != base["sha256"]:
        raise ModelError(
            Problem(
                where=f"model {base['name']}",
                found=f"the weights in {found.place} are not those that the adapter in {folder} was trained on",
                to_do="put the base model of that time back, or train again with --fresh",
            )
        )
    return found


def card_of(folder: Path) -> dict[str, Any]:
    """tunewright.json, with every file that it names looked at."""
    path = folder / CARD
    if not path.is_file():
        raise RunDamaged(
            Problem(
                where=str(folder),
                found=f"no {CARD} there" if folder.is_dir() else "there is no such folder",
                allowed="the model/ folder of a finished run",
                to_do="name a run that has finished, or the folder that its model is in",
            )
        )
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(folder, f"{CARD} cannot be read: {_first(error)}") from error
    lacking = [name for name in _NEEDED if not isinstance(card, dict) or name not in card]
    if lacking:
        raise _damaged(folder, f"{CARD} has no {listed(lacking)}")
    if card.get("version") != 1:
        raise ModelError(
            Problem(where=str(path), found=f"version {card.get('version')!r}", allowed="1",
                    to_do="open it with the version of Tunewright that wrote it")
        )  # fmt: skip
    if problems := folders.faults(folder, card["files"]):
        raise _damaged(folder, *problems)
    return dict(card)


def _damaged(folder: Path, *found: str) -> RunDamaged:
    return RunDamaged(
        *(
            Problem(where=str(folder), found=text, to_do="train again with --fresh, or copy the folder again")
            for text in found
        )
    )


def _first(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
