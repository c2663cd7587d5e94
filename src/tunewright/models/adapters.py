"""Folders of peft's: what is in them, which base they are for, and what they make of it.

Read from safetensors alone; nothing is fetched. A folder with `tunewright.json` was written here (`saving`); one without
was trained by others and says nothing of labels.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tunewright.core.errors import ModelError, Problem, listed

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_OUTER = frozenset({"ADAPTION_PROMPT", "XLORA", "POLY", "CPT", "CARTRIDGE", "MULTITASK_PROMPT_TUNING", "SHADOW"})
"""Kinds that work in peft's own call of the model, or need more than texts."""
_INSIDE = "base_model.model."


def is_adapter(folder: Path) -> bool:
    """Whether peft wrote the folder, and no whole model lies in it."""
    return (folder / CONFIG).is_file() and not list(folder.glob("model*.safetensors"))


def config_of(folder: Path) -> dict[str, Any]:
    """The folder's adapter_config.json, with all that keeps it from being used here looked at.

    Raises:
        ModelError: it is damaged, its weights are missing or pickled, or its kind cannot be used here.
    """
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _refused(folder, f"{CONFIG} cannot be read: {error}"[:300], "copy the folder again") from error
    if not isinstance(config, dict) or not isinstance(config.get("peft_type"), str):
        raise _refused(folder, f"{CONFIG} names no peft_type", "copy the folder again")
    if not (folder / WEIGHTS).is_file():
        pickled = bool(list(folder.glob("*.bin")))
        raise _refused(
            folder,
            "weights as a pickle (*.bin) only" if pickled else f"no {WEIGHTS}",
            "save the adapter again with safe_serialization" if pickled else "copy the weights there",
        )
    from peft import PEFT_TYPE_TO_CONFIG_MAPPING

    from tunewright.adaptations.bottleneck_layers import register

    register()
    kind = config["peft_type"]
    known = {str(getattr(name, "value", name)): made for name, made in PEFT_TYPE_TO_CONFIG_MAPPING.items()}
    if kind not in known:
        raise _refused(
            folder, f"an adapter of a kind {kind!r} that the installed peft does not know", "install a newer peft"
        )
    if kind in _OUTER or config.get("alora_invocation_tokens"):
        raise _refused(folder, f"an adapter of the kind {kind}, which needs peft's own call of the model", "")
    return config


def is_prompt(config: Mapping[str, Any]) -> bool:
    """Whether it is learnt prompts, which no weights can hold."""
    return any(name in config for name in ("num_virtual_tokens", "num_transformer_submodules"))


def base_name(folder: Path) -> str:
    """What to look for as the base: `base/` in the folder, a name of the catalogue, a folder, or one in the Hub's cache.

    Raises:
        ModelError: it is not on this machine; nothing is fetched.
    """
    config = config_of(folder)
    if (folder / "base").is_dir():
        return str(folder / "base")
    known = _card(folder).get("base", {}).get("name")
    if known in ("minilm", "toy"):
        return str(known)
    name, revision = config.get("base_model_name_or_path"), config.get("revision")
    if not isinstance(name, str) or not name:
        raise _refused(folder, f"{CONFIG} names no base model", "write its folder there as base_model_name_or_path")
    for place in (Path(name), folder / name):
        try:
            if (place / "config.json").is_file():
                return str(place)
        except OSError:
            continue
    cached = _cached(name, revision if isinstance(revision, str) else None)
    if cached is None:
        raise _refused(
            folder,
            f"its base model {name!r} is not on this machine",
            f"bring it here and write its folder as base_model_name_or_path in {CONFIG}, or download it into the Hub's cache",
        )
    return cached


def agree(folder: Path, sha256: str) -> None:
    """Sees that a base is the one that the adapter was trained on, where that was written down.

    Raises:
        ModelError: it is another.
    """
    known = _card(folder).get("base", {}).get("sha256")
    if known is not None and known != sha256:
        raise _refused(
            folder, "its base model has other weights than when it was trained", "put the base of that time back"
        )


def _card(folder: Path) -> dict[str, Any]:
    """tunewright.json, where the adapter was saved here."""
    place = folder / "tunewright.json"
    try:
        card = json.loads(place.read_text(encoding="utf-8")) if place.is_file() else {}
    except (OSError, ValueError) as error:
        raise _refused(folder, f"tunewright.json cannot be read: {error}"[:300], "copy the folder again") from error
    return card if isinstance(card, dict) else {}


def _cached(name: str, revision: str | None) -> str | None:
    """The folder of a Hub id in the local cache, where it lies there with its weights."""
    from transformers.utils import cached_file

    try:
        found = cached_file(name, "config.json", revision=revision, local_files_only=True)
    except Exception:  # what it raises for a name that is no Hub id differs between versions
        return None
    if found is None or not list(Path(found).parent.glob("*.safetensors")):
        return None
    return str(Path(found).parent)


def laid_on(base: nn.Module, folder: Path) -> Any:
    """A PeftModel of `base` with the adapter in `folder`, in evaluation mode.

    Raises:
        ModelError: the two do not fit.
    """
    from peft import PeftModel

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return PeftModel.from_pretrained(base, str(folder), local_files_only=True)
    except Exception as error:
        raise _refused(
            folder, f"it does not fit its base model: {_first(error)}", "name the base it was trained on"
        ) from error


def folded(base: nn.Module, folder: Path, keep: frozenset[str]) -> tuple[nn.Module, set[str]]:
    """The base model with the adapter in its weights, and which of its own parameters the adapter brought whole.

    Args:
        base: with a head of this task; changed in place.
        folder: the adapter.
        keep: parameters of the base, such as a new head's, that the adapter's own do not replace.

    Raises:
        ModelError: learnt prompts, or an adapter that does not fit.
    """
    from peft import PeftConfig, get_peft_model, set_peft_model_state_dict
    from safetensors.torch import load_file

    from tunewright.adaptations.bottleneck_layers import KIND

    if config_of(folder)["peft_type"] == KIND:
        raise _refused(folder, "a bottleneck adapter, which cannot become part of a model's weights",
                       "name the base model, or an adapter that merges (LoRA, IA3 and the like)")  # fmt: skip
    if is_prompt(config_of(folder)):
        raise _refused(folder, "learnt prompts, which cannot become part of a model's weights",
                       "name the base model, or an adapter that changes layers (LoRA, IA3 and the like)")  # fmt: skip
    try:
        with warnings.catch_warnings(), torch.random.fork_rng(), torch.no_grad():
            warnings.simplefilter("ignore")
            state = load_file(folder / WEIGHTS)
            whole = _whole(base, state)
            _put(base, {name: value for name, value in whole.items() if name not in keep})
            config = PeftConfig.from_pretrained(str(folder))
            config.modules_to_save = config.task_type = (
                None  # by its task peft would put a head of its own beside this one
            )
            model: Any = get_peft_model(base, config)
            added = {name: value for name, value in state.items() if name.removeprefix(_INSIDE) not in whole}
            strange = set_peft_model_state_dict(model, added).unexpected_keys
            if strange:
                raise ValueError(f"{listed(sorted(strange), 4)} have no place in the model")
            merged: nn.Module = model.merge_and_unload()
    except ModelError:
        raise
    except Exception as error:
        raise _refused(
            folder, f"it does not fit its base model: {_first(error)}", "name the base it was trained on"
        ) from error
    return merged.requires_grad_(True), set(whole) - keep


def _whole(base: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights that the adapter has for parameters of the base itself: a head, or what else was trained whole."""
    own = {name for name, _ in base.named_parameters(remove_duplicate=False)}
    named = {name.removeprefix(_INSIDE): value for name, value in state.items()}
    return {name: value for name, value in named.items() if name in own}


def _put(base: nn.Module, weights: Mapping[str, Tensor]) -> None:
    parameters = dict(base.named_parameters(remove_duplicate=False))
    for name, value in weights.items():
        if parameters[name].shape != value.shape:
            raise ValueError(f"{name} has the shape {tuple(value.shape)}, here {tuple(parameters[name].shape)}")
        parameters[name].copy_(value)


def write_labels(config: Any, folder: Path) -> None:
    """Writes the labels that the adapter's head is for into the base's configuration, where tunewright.json names them."""
    known = _card(folder)
    names = [str(name) for name in known.get("labels") or ()]
    if names:
        config.num_labels, config.problem_type = len(names), known.get("problem")
        config.id2label = dict(enumerate(names))
        config.label2id = {name: i for i, name in enumerate(names)}


def outputs(folder: Path) -> int | None:
    """How many scores the adapter's own head gives; None where it has none."""
    from safetensors import safe_open

    with safe_open(folder / WEIGHTS, framework="pt") as weights:
        for name in weights.keys():  # noqa: SIM118  (no mapping)
            if name.rsplit(".", 2)[-2] in ("classifier", "score", "out_proj") and name.endswith("weight"):
                return int(weights.get_slice(name).get_shape()[0])
    return None


def _refused(folder: Path, found: str, to_do: str) -> ModelError:
    return ModelError(
        Problem(where=f"adapter {folder}", found=found, allowed=f"a folder that peft saved: {CONFIG} and {WEIGHTS}",
                to_do=to_do or "train one of another kind, or open it with peft")
    )  # fmt: skip


def _first(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
