"""Texts from a language model: greedy, sampled or by beam search; many at once, each as if it were alone.

`generate` gives them in the prompts' order, `generating` as they get finished. What a prompt gets depends on neither
the other prompts nor the size of the batch, but for the rounding of products.

A decoder's prompts go in packed, without padding; what is finished leaves, and the next prompt takes its place; keys
and values lie in memory that is allocated once (`cache.py`). Encoder-decoders run in padded batches (`sources.py`).
On a CPU in bfloat16 weights are laid out once (`products.py`).
"""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tunewright.core.errors import DataError, Problem, listed
from tunewright.models import allocator, cache, virtual
from tunewright.models.options import Generation
from tunewright.models.products import Products, works
from tunewright.models.search import Item, Search
from tunewright.models.stops import Texts
from tunewright.models.virtual import Plain

__all__ = ["BUDGET", "Generated", "Generation", "Prompt", "generate", "generating"]

BUDGET = 32768
PLAIN = frozenset({"llama", "mistral", "qwen2", "qwen3", "gpt2", "t5", "mt5", "bart"})
"""Families that need no autocast where their linear layers are laid out: all other operations take mixed precisions."""


@dataclass(frozen=True)
class Prompt:
    """What a text goes on from, or an encoder-decoder's source: `tokens` (n,) int64. `id` keys what is random."""

    id: str
    tokens: NDArray[Any]


@dataclass(frozen=True)
class Generated:
    """A text: `tokens` without the end-of-turn token, `text` without special tokens and cut before a stop string.

    truncated: neither an end-of-turn token nor a stop string ended it. seconds: its share of the time of the forwards
    that it took part in.
    """

    id: str
    tokens: tuple[int, ...]
    text: str
    truncated: bool
    seconds: float


class Steps(Protocol):
    """A model a step at a time: `Decoder` or `Sources`."""

    def need(self, prompt: int, room: int) -> int: ...
    def admit(self, waiting: Sequence[int]) -> int: ...
    def open(self, prompts: Sequence[Tensor], needs: Sequence[int]) -> Tensor: ...
    def step(self, tokens: Tensor, parents: Tensor | None) -> Tensor: ...
    def keep(self, order: Sequence[int]) -> None: ...


def generate(
    model: nn.Module,
    prompts: Sequence[Prompt],
    options: Generation,
    *,
    seed: int,
    tokenizer: Any,
    end: Sequence[int],
    precision: Literal["float32", "bfloat16"] = "float32",
    batch_tokens: int = BUDGET,
    between: Callable[[], None] | None = None,
) -> list[Generated]:
    """All texts, in the order of `prompts`; see `generating`."""
    texts: list[Generated | None] = [None] * len(prompts)
    for place, text in generating(
        model, prompts, options, seed=seed, tokenizer=tokenizer, end=end, precision=precision,
        batch_tokens=batch_tokens, between=between,
    ):  # fmt: skip
        texts[place] = text
    return [text for text in texts if text is not None]


def generating(
    model: nn.Module,
    prompts: Sequence[Prompt],
    options: Generation,
    *,
    seed: int,
    tokenizer: Any,
    end: Sequence[int],
    precision: Literal["float32", "bfloat16"] = "float32",
    batch_tokens: int = BUDGET,
    between: Callable[[], None] | None = None,
) -> Iterator[tuple[int, Generated]]:
    """Yields (place among `prompts`, text) as texts get finished; the longest prompts come first.

    The model is changed while this is under way (its attention, and on a CPU in bfloat16 its products) and is as it
    was when the generator ends or is closed.

    Args:
        model: a causal or encoder-decoder model of transformers with its head, with peft's layers or without.
        seed: with an item's id and the step, the key of each draw.
        tokenizer: turns tokens back to text.
        end: the tokens that end a text.
        precision: "bfloat16" runs products, keys and values in bfloat16; norms, softmax and sums stay float32.
        batch_tokens: how many tokens the cache may hold, which bounds memory; a longer text is alone.
        between: called before each step; may raise to stop.

    Raises:
        DataError: prompts are empty or fill the model's context; nothing was generated.
    """
    if not prompts:
        return
    outer: Any = model
    before = virtual.of(outer)
    inner = before.inner
    waiting = _items(before, prompts, options)
    with _prepared(model, inner, precision):
        with torch.inference_mode():
            run = _Run(before, waiting, options, seed, Texts(tokenizer, options.stop), end, precision, batch_tokens)
        while run.unfinished:
            if between is not None:
                between()
            with torch.inference_mode():  # not around the yield: the mode would reach the caller
                finished = run.advance()
            yield from finished


def _items(before: Plain, prompts: Sequence[Prompt], options: Generation) -> list[Item]:
    """Longest prompts first."""
    config, device = before.inner.config, next(before.inner.parameters()).device
    limit = int(getattr(config, "max_position_embeddings", None) or 0)
    both = bool(config.is_encoder_decoder)
    empty = [p.id for p in prompts if not len(p.tokens)]
    long = [p.id for p in prompts if limit and len(p.tokens) + before.source > limit - (not both)]
    wrong = []
    if empty:
        wrong.append(Problem(where="prompts", found=f"no tokens in {listed(empty, 5)}", to_do="drop these rows"))
    if long:
        wrong.append(
            Problem(
                where="prompts",
                found=f"{listed(long, 5)}: no room for an answer",
                allowed=f"fewer than {limit - before.source} tokens, the model's context"
                + (f" without {before.source} virtual ones" if before.source else ""),
                to_do="shorten or drop these rows, or use a model with a longer context",
            )
        )
    if wrong:
        raise DataError(*wrong)
    items = []
    for place, prompt in enumerate(prompts):
        tokens = torch.as_tensor(prompt.tokens, dtype=torch.int64).to(device)
        used = 1 + before.target if both else len(tokens) + before.source
        room = min(options.max_new_tokens, limit - used) if limit else options.max_new_tokens
        items.append(Item(place, prompt.id, before.prompted(tokens), tokens, room))
    return sorted(items, key=lambda item: -len(item.prompt))


@contextmanager
def _prepared(model: nn.Module, inner: Any, precision: str) -> Iterator[None]:
    """The model in evaluation mode with our attention and products; all is put back after."""
    device = next(model.parameters()).device
    cache.register()
    allocator.settle()
    narrow = precision == "bfloat16"
    laid = narrow and device.type == "cpu" and works()
    plain = laid and inner.config.model_type in PLAIN
    autocast = torch.autocast(device.type, torch.bfloat16) if narrow and not plain else None
    was, configs = model.training, {m: m.__dict__["config"] for m in inner.modules() if "config" in m.__dict__}
    copies: dict[int, Any] = {}
    forward = inner.__dict__.get("forward")
    model.eval()
    try:
        for module, config in configs.items():
            if id(config) not in copies:
                copies[id(config)] = copy.deepcopy(config)
                copies[id(config)]._attn_implementation = cache.NAME
            module.config = copies[id(config)]
        if autocast is not None:
            inner.forward = autocast(inner.forward)
        with Products(inner) if laid else nullcontext():
            yield
    finally:
        if autocast is not None:
            inner.__dict__.pop("forward") if forward is None else setattr(inner, "forward", forward)
        for module, config in configs.items():
            module.config = config
        model.train(was)


class _Run:
    """What waits, what is at work, and one step of it all."""

    def __init__(
        self, before: Plain, waiting: list[Item], options: Generation, seed: int, texts: Texts, end: Sequence[int],
        precision: str, budget: int,
    ) -> None:  # fmt: skip
        inner, device, room = before.inner, waiting[0].prompt.device, max(item.room for item in waiting)
        self.waiting, self.items, self.texts, self.end = waiting, list[Item](), texts, frozenset(end)
        self.steps = _steps(before, options.width, room, precision == "bfloat16", budget, device)
        if inner.config.is_encoder_decoder:
            start = torch.tensor([self.steps.start], device=device)  # type: ignore[attr-defined]
            for item in waiting:
                item.past = start
        self.search = Search(options, seed, sorted(self.end), room, texts, _forced(inner), device)
        self._needs = [self.steps.need(len(item.prompt), item.room) for item in waiting]

    @property
    def unfinished(self) -> bool:
        """Whether anything waits or is at work."""
        return bool(self.waiting or self.items)

    def advance(self) -> list[tuple[int, Generated]]:
        """A step of all that are at work, or the first of new ones; those that it finished."""
        began = time.perf_counter()
        n = self.steps.admit(self._needs) if self.waiting else 0
        if n:
            fresh, self.waiting = self.waiting[:n], self.waiting[n:]
            needs, self._needs = self._needs[:n], self._needs[n:]
            scores = self.steps.open([item.prompt for item in fresh], needs)
            self.search.extend(fresh)
            self.items += fresh
            self.search.advance(len(self.items) - n, scores)
        else:
            fresh = self.items
            self.search.advance(0, self.steps.step(self.search.tokens, self.search.parents))
        share = (time.perf_counter() - began) / len(fresh)
        for item in fresh:
            item.seconds += share
        return self._finished()

    def _finished(self) -> list[tuple[int, Generated]]:
        gone = [row for row, item in enumerate(self.items) if item.done]
        if not gone:
            return []
        out = [(self.items[row].place, self._text(row)) for row in gone]
        # the last ones fill the holes, so that few are moved
        left = len(self.items) - len(gone)
        holes = [row for row in gone if row < left]
        last = [row for row in range(left, len(self.items)) if not self.items[row].done]
        order = list(range(left))
        for hole, row in zip(holes, last, strict=True):
            order[hole] = row
        self.items = [self.items[row] for row in order]
        self.steps.keep(order)
        self.search.keep(order)
        return out

    def _text(self, row: int) -> Generated:
        item, tokens = self.items[row], self.search.result(row)
        full = len(tokens) >= item.room
        ended = bool(tokens) and tokens[-1] in self.end and not (full and self.search.forced_last is not None)
        if tokens and tokens[-1] in self.end:
            tokens = tokens[:-1]
        text = self.texts.cut(tokens)
        stopped = bool(self.texts.stop) and text != self.texts.whole(tokens)
        return Generated(item.id, tuple(tokens), text, not (ended or stopped), item.seconds)


def _steps(before: Plain, width: int, room: int, narrow: bool, budget: int, device: torch.device) -> Steps:
    inner = before.inner
    if inner.config.is_encoder_decoder:
        from tunewright.models.sources import Sources

        return Sources(inner, width, room, budget, device, before)
    from tunewright.models.decoding import Decoder

    config = inner.config
    heads = getattr(config, "num_attention_heads", 1)
    queries = width * heads // (getattr(config, "num_key_value_heads", None) or heads)
    # one query a head is a product of a matrix and a vector, which is faster in float32
    return Decoder(inner, width, narrow and device.type == "cpu" and queries > 1, budget, device, before)


def _forced(inner: Any) -> tuple[int | None, int | None]:
    """The first and the last token that an encoder-decoder's own settings force."""
    if not inner.config.is_encoder_decoder:
        return None, None
    settings = inner.generation_config
    last = settings.forced_eos_token_id
    return settings.forced_bos_token_id, next(iter(itertools.chain(last)), None) if isinstance(last, list) else last
