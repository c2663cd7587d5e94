"""Any tuned model in a folder: one that was saved here, or an adapter that plain peft has saved.

peft's folder does not say what the scores mean. Labels come from whoever asks, from a config.json beside the adapter, or
from the base where it has a head with names of as many; never from guesses such as LABEL_0.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from tunewright.core.errors import ModelError, Problem, listed
from tunewright.core.spans import tags_of
from tunewright.models.adapters import config_of, is_adapter, laid_on, outputs
from tunewright.models.loading import Found, auto_class, check_tokenizer, find, language_problem, limit_of, quiet
from tunewright.models.places import room
from tunewright.models.precision import chosen_device
from tunewright.models.saving import CARD, Saved, open_saved
from tunewright.models.templates import template_of

_PROBLEMS = {"TOKEN_CLS": "token_classification", "CAUSAL_LM": "causal_lm", "SEQ_2_SEQ_LM": "seq2seq_lm"}


def open_model(folder: Path, labels: Sequence[str] = ()) -> Saved:
    """The tuned model of a folder, whoever saved it.

    Args:
        labels: of an adapter that plain peft saved: the names of its scores, in their order.

    Raises:
        RunDamaged: no model is there, or it was changed. ModelError: a base that cannot be had, or unknown labels.
    """
    if (folder / CARD).is_file() or not is_adapter(folder):
        return open_saved(folder)
    return open_adapter(folder, labels)


def open_adapter(folder: Path, labels: Sequence[str] = ()) -> Saved:
    """An adapter that plain peft saved, on its base, in evaluation mode.

    A classifier's task is classification, several labels where its configuration says so, and regression where it has one
    score; a decoder answers as in `chat` where its tokenizer has a template, and is a language model elsewhere.

    Raises:
        ModelError: the base is not on this machine, the labels are not known, or the adapter cannot be used here.
    """
    from transformers import AutoTokenizer

    quiet()
    config, found = config_of(folder), find(str(folder))
    if found.place is None:
        raise _problem(folder, "an adapter of the toy", "a base with a place", "")
    problem = _problem_of(config, folder, found)
    sequence = problem == "single_label_classification"
    names = list(labels)
    if sequence or problem == "token_classification":
        problem, names = _labelled(problem, folder, found, names)
    options: dict[str, Any] = {"trust_remote_code": False, "dtype": torch.float32, "use_safetensors": True}
    if names:
        options |= {"num_labels": len(names), "id2label": dict(enumerate(names)),
                    "label2id": {name: i for i, name in enumerate(names)}}  # fmt: skip
    own = any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json"))
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder if own else found.place, local_files_only=True)
        with torch.random.fork_rng():
            base, info = auto_class(problem).from_pretrained(
                found.place, local_files_only=True, ignore_mismatched_sizes=True, output_loading_info=True, **options
            )
    except Exception as error:
        text = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise _problem(folder, f"its base {found.place} cannot be read: {text}", "its base", "copy it again") from error
    check_tokenizer(found, base, tokenizer)
    _check_head(
        folder, base, {k if isinstance(k, str) else k[0] for k in (*info["missing_keys"], *info["mismatched_keys"])}
    )
    model = laid_on(base, folder)
    card = _card(config, problem, names, tokenizer, found)
    limit = room(base, limit_of(base, tokenizer), int(config.get("num_virtual_tokens") or 0))
    return Saved(
        found, model.eval().to(chosen_device("auto")), tokenizer, tuple(names), limit, "checkpoint", "float32",
        {**card, "limit": limit},
    )  # fmt: skip


def _problem_of(config: dict[str, Any], folder: Path, found: Found) -> str:
    """What kind of model the adapter is for, in transformers' words."""
    task = config.get("task_type")
    if task in ("SEQ_CLS", "TOKEN_CLS") and outputs(folder) is None:
        raise _problem(folder, f"no head, although its task_type is {task}", "an adapter saved with its head",
                       "name the head in modules_to_save when it is trained")  # fmt: skip
    if task in _PROBLEMS:
        return _PROBLEMS[task]
    made = " ".join(_config(Path(str(found.place))).get("architectures") or ())
    if task == "SEQ_CLS" or outputs(folder) is not None or "ForSequenceClassification" in made:
        return "single_label_classification"
    if "ForTokenClassification" in made:
        return "token_classification"
    problem = language_problem(found)
    if problem == "masked_lm":
        raise _problem(folder, f"task_type {task!r}, which does not say what the adapter answers",
                       f"SEQ_CLS, {', '.join(_PROBLEMS)}", "write it into adapter_config.json")  # fmt: skip
    return problem


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def _labelled(problem: str, folder: Path, found: Found, given: list[str]) -> tuple[str, list[str]]:
    """The kind of problem, and the names of the head's scores in their order."""
    scores = outputs(folder)
    configs = [_config(place) for place in (folder, Path(str(found.place)))]
    kinds = [c.get("problem_type") for c in configs]
    if problem == "single_label_classification":
        if "multi_label_classification" in kinds:
            problem = "multi_label_classification"
        elif scores == 1 and len(given) < 2:
            return "regression", given or ["score"]
    known = [_names(c) for c in configs]
    names = given or next((k for k in known if k and len(k) == (scores or len(k))), [])
    if not names or (scores is not None and len(names) != scores):
        count = f"{scores} scores" if scores is not None else "a head"
        raise _problem(
            folder, f"{count}, and {f'{len(names)} labels' if names else 'nothing says what they are'}",
            "the labels in the order of the scores", "name them: --labels negative,neutral,positive",
        )  # fmt: skip
    if problem == "token_classification":
        wanted = tags_of(_types(names))
        if set(wanted) != set(names):
            raise _problem(folder, f"tags {listed(names)}", f"O, and B- and I- of every type: {listed(wanted)}", "")
    return problem, names


def _names(config: dict[str, Any]) -> list[str]:
    """A configuration's labels in their order; empty where they are transformers' own placeholders."""
    table = config.get("id2label") or {}
    names = [str(table[i]) for i in sorted(table, key=int)]
    return [] if all(name == f"LABEL_{i}" for i, name in enumerate(names)) else names


def _types(tags: Sequence[str]) -> list[str]:
    return sorted({tag[2:] for tag in tags if tag[:2] in ("B-", "I-")})


def _check_head(folder: Path, base: Any, absent: set[str]) -> None:
    """Raises where a head would be random: neither the base nor the adapter has it."""
    from safetensors import safe_open

    from tunewright.models.adapters import WEIGHTS

    with safe_open(folder / WEIGHTS, framework="pt") as weights:
        brought = {name.removeprefix("base_model.model.") for name in weights.keys()}  # noqa: SIM118
    unknown = sorted(name for name, _ in base.named_parameters() if name in absent - brought)
    if unknown:
        raise _problem(folder, f"neither it nor its base has {listed(unknown, 4)}", "an adapter saved with its head",
                       "name the head in modules_to_save when it is trained, or name the base it was trained on")  # fmt: skip


def _card(config: dict[str, Any], problem: str, names: list[str], tokenizer: Any, found: Found) -> dict[str, Any]:
    """What tunewright.json would say of the model, as far as it is known."""
    tasks = {"single_label_classification": "classification", "multi_label_classification": "multilabel",
             "regression": "regression", "token_classification": "token_classification", "seq2seq_lm": "seq2seq",
             "masked_lm": "language_modeling"}  # fmt: skip
    task = tasks.get(problem) or ("chat" if tokenizer.chat_template else "language_modeling")
    card: dict[str, Any] = {
        "version": 1, "task": task, "problem": problem, "labels": names, "adaptation": str(config["peft_type"]).lower(),
        "precision": "float32", "base": {"name": found.name, "place": found.place, "sha256": None, "revision": None},
        "files": {}, "saved_by": "peft",
    }  # fmt: skip
    if task == "regression":
        card |= {"mean": [0.0] * len(names), "spread": [1.0] * len(names)}
    if task == "multilabel":
        card["thresholds"] = [0.5] * len(names)
    if task == "token_classification":
        card["types"] = _types(names)
    if task == "chat":
        card["template"] = template_of(tokenizer).card()
    return card


def _problem(folder: Path, found: str, allowed: str, to_do: str) -> ModelError:
    return ModelError(Problem(where=f"adapter {folder}", found=found, allowed=allowed, to_do=to_do))
