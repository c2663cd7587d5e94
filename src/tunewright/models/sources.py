"""An encoder-decoder of transformers, a step at a time: sources padded to the longest of their batch, one batch at once.

The relative positions of the T5 family are made from how many steps a whole batch has taken, so all texts of a batch
are at the same step; those that are finished leave, and the next batch begins when all have.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin, EncoderDecoderCache

from tunewright.models.virtual import Plain

TEXTS = 64


class Growing(CacheLayerMixin):  # type: ignore[misc]
    """One layer's keys and values of an encoder-decoder's batch, (R, K, `room`, E); all rows have as many."""

    is_sliding = False

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room, self.filled = room, 0

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Allocates for as many rows as come first."""
        self._keys, self._values = (
            x.new_empty(*x.shape[:2], max(self.room, x.shape[2]), x.shape[3]) for x in (key_states, value_states)
        )
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **more: Any) -> tuple[Tensor, Tensor]:
        """Stores the new entries and gives all."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        first, self.filled = self.filled, self.filled + key_states.shape[2]
        self._keys[:, :, first : self.filled] = key_states
        self._values[:, :, first : self.filled] = value_states
        return self._view()

    def _view(self) -> tuple[Tensor, Tensor]:
        self.keys, self.values = self._keys[:, :, : self.filled], self._values[:, :, : self.filled]
        return self.keys, self.values

    def select(self, rows: Tensor) -> None:
        """Row `rows[i]` becomes row i; a row may be named often."""
        picked = []
        for x in (self._keys, self._values):
            new = x.new_empty(len(rows), *x.shape[1:])
            new[:, :, : self.filled] = x[:, :, : self.filled].index_select(0, rows)
            picked.append(new)
        self._keys, self._values = picked
        self._view()

    def get_seq_length(self) -> int:
        """Entries so far."""
        return self.filled

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """As transformers asks; no mask is built from it."""
        return self.filled + query_length, 0

    def get_max_length(self) -> int:
        """How many entries there is room for."""
        return self.room


class Sources:
    """The texts that an encoder-decoder is at work on; the same calls as `Decoder`.

    Args:
        inner: the model with its head.
        width: beams of each text.
        room: the most tokens that any text may get.
        budget: tokens in all, the source's and those of all beams; one text may need more.
        virtual: what stands before the sources or the decoder's tokens.
    """

    def __init__(
        self, inner: Any, width: int, room: int, budget: int, device: torch.device, virtual: Plain | None = None
    ) -> None:
        self.inner, self.width, self.room, self.budget, self.device = inner, width, room, budget, device
        self.virtual = virtual or Plain(inner)
        self.past = self.virtual.past()
        self.start = decoder_start(inner)
        self.n = 0
        self._spread = False

    def need(self, prompt: int, room: int) -> int:
        """Tokens that a text takes, all steps made."""
        return prompt + (self.virtual.target + room) * self.width

    def admit(self, waiting: Sequence[int]) -> int:
        """How many of those that wait (their needs, largest first) may come now: none while a batch is at work."""
        return 0 if self.n else max(1, min(self.budget // waiting[0], len(waiting), TEXTS))

    def open(self, prompts: Sequence[Tensor], needs: Sequence[int]) -> Tensor:
        """The sources' forward and the decoder's first step: the scores (n, V) of each text's first token."""
        self.n, longest = len(prompts), max(len(p) for p in prompts)
        tokens = torch.full((self.n, longest), self.inner.config.pad_token_id or 0, device=self.device)
        self.mask = torch.full((self.n, 1, 1, longest), float("-inf"), device=self.device)
        for row, prompt in enumerate(prompts):
            tokens[row, : len(prompt)] = prompt
            self.mask[row, :, :, : len(prompt)] = 0.0
        self.memory = self.inner.get_encoder()(**self.virtual.inputs(tokens), attention_mask=self.mask)
        layers = self._layers()
        self.own = [Growing(self.room + 1 + self.virtual.target) for _ in range(layers)]
        if self.past is not None:
            for layer, *learnt in zip(self.own, self.past.keys, self.past.values, strict=True):
                layer.update(*(x.expand(self.n, -1, -1, -1) for x in learnt))
        self.shared = [Growing(0) for _ in range(layers)]
        self.cache = EncoderDecoderCache(Cache(layers=list(self.own)), Cache(layers=list(self.shared)))
        self._spread = False
        return self._forward(torch.full((self.n, 1), self.start, device=self.device))

    def _layers(self) -> int:
        config = self.inner.config
        layers: int = getattr(config, "num_decoder_layers", None) or config.decoder_layers
        return layers

    def _forward(self, tokens: Tensor) -> Tensor:
        out = self.inner(
            encoder_outputs=self.memory, attention_mask=self.mask, decoder_input_ids=tokens,
            past_key_values=self.cache, use_cache=True,
        )  # fmt: skip
        scores: Tensor = out.logits[:, -1]
        return scores

    def step(self, tokens: Tensor, parents: Tensor | None) -> Tensor:
        """tokens (N, W), each beam's next, that follow the beams `parents` (N, W): scores (N W, V)."""
        if parents is not None and self.width > 1:
            texts = torch.arange(self.n, device=self.device)[:, None]
            rows = (texts * self.width + parents if self._spread else texts.expand_as(parents)).reshape(-1)
            for layer in self.own:
                layer.select(rows)
            self._spread = True
        return self._forward(tokens.reshape(-1, 1))

    def keep(self, order: Sequence[int]) -> None:
        """Text `order[i]` goes on in place i; the others are finished."""
        self.n = len(order)
        if not order:
            return
        texts = torch.tensor(list(order), dtype=torch.int64, device=self.device)
        w = self.width if self._spread else 1
        rows = (texts[:, None] * w + torch.arange(w, device=self.device)).reshape(-1)
        for layer in self.own:
            layer.select(rows)
        for layer in self.shared:
            layer.select(texts)
        self.mask = self.mask[texts]
        self.memory.last_hidden_state = self.memory.last_hidden_state[texts]


def decoder_start(inner: Any) -> int:
    """The token that a decoder begins with."""
    for config in (inner.generation_config, inner.config):
        for name in ("decoder_start_token_id", "bos_token_id"):
            found = getattr(config, name, None)
            if found is not None:
                return int(found)
    return int(inner.config.pad_token_id or 0)
