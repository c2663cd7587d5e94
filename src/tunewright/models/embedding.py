"""Texts to vectors of length one, for what needs likeness of meaning: semantic duplicates, probes, gates.

A model of transformers gives the mean of its last hidden states over a text's tokens (Reimers and Gurevych 2019, for
models such as MiniLM); a static model in model2vec's format the mean of its tokens' embeddings, some hundred times as
fast. Cost: one forward pass a distinct text, packed; nothing is kept between calls.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunewright.core.errors import ModelError, Problem
from tunewright.models.loading import find

Vectors = NDArray[np.float32]


def encoder(name: str, base: Path = Path(), max_tokens: int = 256) -> Callable[[Sequence[str]], Vectors]:
    """A function from texts to vectors (N, D).

    Args:
        name: a name in the catalogue, a folder (of transformers, or model2vec's), or a Hub id (only that downloads).
        base: what a folder's path is relative to.
        max_tokens: where texts are cut for a model of transformers.

    Raises:
        ModelError: there is no such model, or its files are not what they should be.
    """
    folder = base / Path(name).expanduser()
    if _is_static(folder):
        return _static(folder)
    return _contextual(str(folder) if folder.is_dir() else name, max_tokens)


def _is_static(folder: Path) -> bool:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and config.get("model_type") == "model2vec"


def _static(folder: Path) -> Callable[[Sequence[str]], Vectors]:
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    try:
        tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
        table = load_file(str(folder / "model.safetensors"))["embeddings"].astype(np.float32)
    except Exception as error:
        raise ModelError(
            Problem(where=f"model {folder}", found=f"it cannot be opened: {error}"[:300],
                    allowed="model2vec's files: config.json, tokenizer.json, model.safetensors with `embeddings`")
        ) from error  # fmt: skip
    tokenizer.no_padding()
    tokenizer.no_truncation()
    unknown = tokenizer.token_to_id("[UNK]")

    def encode(texts: Sequence[str]) -> Vectors:
        out = np.zeros((len(texts), table.shape[1]), dtype=np.float32)
        for i, one in enumerate(tokenizer.encode_batch(list(texts), add_special_tokens=False)):
            ids = [t for t in one.ids if t != unknown]
            if ids:
                out[i] = table[ids].mean(0)
        return _unit(out)

    return encode


def _contextual(name: str, max_tokens: int) -> Callable[[Sequence[str]], Vectors]:
    from tunewright.encoding import Example
    from tunewright.models.forward import ModelForward
    from tunewright.models.loading import load, tokenizing
    from tunewright.models.precision import chosen, chosen_device
    from tunewright.models.scoring import features

    loaded = load(find(name), ["0", "1"], 0, "single_label_classification")
    loaded.model.to(chosen_device("auto"))
    limit, tokenize = min(max_tokens, loaded.limit), tokenizing(loaded.tokenizer)

    def encode(texts: Sequence[str]) -> Vectors:
        distinct = list(dict.fromkeys(texts))
        tokens, types, full = tokenize(distinct, None, limit)
        examples = [
            Example(str(i), np.asarray(t, np.int64), 0, full[i], None if types is None else np.asarray(types[i], np.int64))
            for i, t in enumerate(tokens)
        ]  # fmt: skip
        forward = ModelForward(loaded.model, precision=chosen("auto", "auto"), fixed=True)
        found = _unit(features(forward, examples))
        forward.release()
        place = {text: i for i, text in enumerate(distinct)}
        made: Vectors = found[[place[text] for text in texts]]
        return made

    return encode


def _unit(vectors: Vectors) -> Vectors:
    """Every row divided by its length; a row of zeros stays."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    divided: Vectors = (vectors / np.where(norms > 0, norms, 1)).astype(np.float32)
    return divided
