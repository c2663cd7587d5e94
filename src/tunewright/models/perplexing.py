"""How likely texts are under a causal language model: perplexity a token, for filters and for difficulty.

exp of the mean of -log p of a text's tokens, each given those before it and the model's token of beginning where it has one. Long
texts are cut at `max_tokens`. Cost: one forward pass a distinct text, packed, batches of a bounded number of tokens; scores
over the vocabulary are made a block at a time. Nothing is kept between calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunewright.core.errors import ModelError, Problem
from tunewright.core.tensors import IGNORED
from tunewright.encoding import Example
from tunewright.models.loading import Loaded, find, language_problem, load

_AT_ONCE = 4096


def perplexity(name: str, base: Path = Path(), max_tokens: int = 512) -> Callable[[Sequence[str]], NDArray[np.float64]]:
    """A function from texts to their perplexities (N,); NaN for a text of which no token can be judged.

    Args:
        name: a name in the catalogue, a folder, or a Hub id (only that downloads).
        base: what a folder's path is relative to.
        max_tokens: where texts are cut; the model's own limit where that is less.

    Raises:
        ModelError: there is no such model, or it is no causal language model.
    """
    from tunewright.models.forward import ModelForward
    from tunewright.models.precision import chosen
    from tunewright.models.scoring import likelihoods

    loaded = _opened(name, base)
    limit = min(max_tokens, loaded.limit)

    def judged(texts: Sequence[str]) -> NDArray[np.float64]:
        values = np.full(len(texts), np.nan)
        forward = ModelForward(loaded.model, precision=chosen("auto", "auto"), fixed=True)
        for start in range(0, len(texts), _AT_ONCE):
            examples = [
                _example(str(i), text, loaded.tokenizer, limit)
                for i, text in enumerate(texts[start : start + _AT_ONCE])
            ]
            places = [i for i, example in enumerate(examples) if len(example.tokens) > 1]
            costs, counts, _ = likelihoods(forward, [examples[i] for i in places])
            values[start + np.array(places, np.int64)] = np.exp(costs[:, 0] / counts[:, 0])
        forward.release()
        return values

    return judged


def reply_losses(
    name: str, base: Path = Path(), max_tokens: int = 512
) -> Callable[[Sequence[str], Sequence[str]], NDArray[np.float64]]:
    """A function from prompts and replies to the mean of -log p over each reply's tokens (N,), in nats.

    A reply begins on a line of its own after its prompt, if there is one. Of what is too long the prompt's beginning is
    cut, then the reply's end.

    Args:
        name, base, max_tokens: as of `perplexity`.

    Raises:
        ModelError: there is no such model, or it is no causal language model.
    """
    from tunewright.models.forward import ModelForward
    from tunewright.models.precision import chosen
    from tunewright.models.scoring import likelihoods

    loaded = _opened(name, base)
    limit = min(max_tokens, loaded.limit)

    def losses(prompts: Sequence[str], replies: Sequence[str]) -> NDArray[np.float64]:
        values = np.zeros(len(replies))
        forward = ModelForward(loaded.model, precision=chosen("auto", "auto"), fixed=True)
        for start in range(0, len(replies), _AT_ONCE):
            part = zip(prompts[start : start + _AT_ONCE], replies[start : start + _AT_ONCE], strict=True)
            examples = [_reply(str(i), *both, loaded.tokenizer, limit) for i, both in enumerate(part)]
            costs, counts, _ = likelihoods(forward, examples)
            values[start : start + len(examples)] = costs[:, 0] / np.maximum(counts[:, 0], 1)
        forward.release()
        return values

    return losses


def _opened(name: str, base: Path) -> Loaded:
    from tunewright.models.precision import chosen_device

    folder = base / Path(name).expanduser()
    found = find(str(folder) if folder.is_dir() else name)
    kind = language_problem(found, masked=False)
    if kind != "causal_lm":
        raise ModelError(
            Problem(where=f"model {name}", found="an encoder-decoder: it does not say how likely a text is by itself",
                    allowed="a decoder (Llama, Qwen, Mistral, GPT-2)", to_do="name another under data.models.language")
        )  # fmt: skip
    loaded = load(found, [], 0, kind)
    loaded.model.to(chosen_device("auto"))
    return loaded


def _start(tokenizer: Any) -> list[int]:
    begin = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    return [] if begin is None else [begin]


def _reply(name: str, prompt: str, reply: str, tokenizer: Any, limit: int) -> Example:
    """A reply after its prompt, of which the reply's tokens alone are judged."""
    asked: list[int] = tokenizer(f"{prompt}\n", add_special_tokens=False)["input_ids"] if prompt else []
    said: list[int] = tokenizer(reply[: 40 * limit], add_special_tokens=False)["input_ids"]
    begin = _start(tokenizer)
    said = said[: max(limit - len(begin), 1)]
    room = limit - len(begin) - len(said)
    asked = asked[max(len(asked) - room, 0) :] if room > 0 else []
    tokens = np.array([*begin, *asked, *said], np.int64)
    target = np.append(tokens[1:], IGNORED)
    target[: max(len(begin) + len(asked) - 1, 0)] = IGNORED
    return Example(name, tokens, target, len(tokens), unit="token")


def _example(name: str, text: str, tokenizer: Any, limit: int) -> Example:
    """A text of which every token but the first is to be judged, and that too where there is a token of beginning."""
    ids = tokenizer(text[: 40 * limit], add_special_tokens=False)["input_ids"]
    tokens = np.array([*_start(tokenizer), *ids][:limit], np.int64)
    return Example(name, tokens, np.append(tokens[1:], IGNORED), len(ids), unit="token")
