"""The keys and values of many unfinished texts, allocated once, and attention over them; a cache of transformers.

Decoders: each text has a place of `capacity` entries: its prompt's tokens, then `width` entries a step, one a beam. So
beams share the prompt's entries, and what a beam may look at is a mask and not a copy: nothing is reordered when beams
change. Texts that are finished leave and others take their places, so every text has its own length.
Encoder-decoders: all texts of a batch are at the same step, and beams share the source's entries.

Axes: N texts, W beams of each, R = N W rows, T tokens of a prefill, H heads, K heads of keys, G = H / K, E head width,
L entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tunewright.models.attention import Packing, packed_attention
from tunewright.models.past import Past

NAME = "tunewright_generation"


class Slots:
    """Keys and values of up to `places` texts in `capacity` entries each, for one decoder.

    Args:
        width: beams of each text.
        narrow: keep them in bfloat16.
        device: where the masks lie.
        past: learnt keys and values, which each text's entries begin with.
    """

    def __init__(self, width: int, narrow: bool, device: torch.device, past: Past | None = None) -> None:
        self.width, self.narrow, self.device, self.past = width, narrow, device, past
        self.before = 0 if past is None else past.count
        self._fresh = slice(0, 0)  # texts whose prefill is under way
        self.places = self.capacity = self.n = 0
        self.keys: list[Tensor] = []  # a layer each, (places K, capacity, E)
        self.values: list[Tensor] = []
        self.prompts = torch.zeros(0, dtype=torch.int64, device=device)  # tokens of each text's prompt
        self.steps = torch.zeros(0, dtype=torch.int64, device=device)  # steps made since
        self.bias = torch.zeros(0, width, 0, device=device)  # 0 where a beam may look, -inf elsewhere
        self.used: list[int] = []  # entries of each text
        self._begin(self.prompts, self.prompts)

    def resize(self, places: int, capacity: int) -> None:
        """Room for `places` texts of `capacity` entries; what is held is copied."""
        longest = max(self.used, default=0)
        for store in (self.keys, self.values):
            for i, old in enumerate(store):
                k = old.shape[0] // self.places
                new = old.new_zeros(places * k, capacity, old.shape[2])  # not empty: 0 times NaN is NaN
                new[: self.n * k, :longest] = old[: self.n * k, :longest]
                store[i] = new
        bias = torch.full((places, self.width, capacity), float("-inf"), device=self.device)
        bias[: self.n, :, :longest] = self.bias[: self.n, :, :longest]
        self.bias, self.places, self.capacity = bias, places, capacity

    def open(self, packing: Packing) -> None:
        """The next forward is the prefill of new texts, packed as `packing` says."""
        sizes = [length + self.before for length in packing.lengths]
        fresh = torch.tensor(sizes, device=self.device)
        self._begin((self.n + packing.owners) * self.capacity, packing.places + self.before)
        first, self.n = self.n, self.n + len(sizes)
        self._fresh = slice(first, self.n)
        self.prompts = torch.cat([self.prompts, fresh])
        self.steps = torch.cat([self.steps, torch.zeros_like(fresh)])
        self.used += sizes
        reach = torch.arange(self.capacity, device=self.device) < fresh[:, None]
        self.bias[first : self.n] = torch.where(reach, 0.0, float("-inf"))[:, None]

    def step(self, parents: Tensor | None) -> Tensor:
        """The next forward takes one token of every beam; `parents` (N, W) are the beams these go on from.

        Returns:
            (N, W) the tokens' positions.
        """
        n, w = self.n, self.width
        starts = self.prompts + self.steps * w
        at = starts[:, None] + torch.arange(w, device=self.device)
        own = torch.arange(n, device=self.device)
        if parents is not None and w > 1:
            reached = max(self.used)
            self.bias[:n, :, :reached] = self.bias[own[:, None], parents, :reached]
        self.bias[own[:, None], torch.arange(w, device=self.device), at] = 0.0
        self._begin((own * self.capacity)[:, None].expand(n, w).reshape(-1), at.reshape(-1))
        self.used = [u + w for u in self.used]
        positions = (self.prompts + self.steps)[:, None].expand(n, w)
        self.steps = self.steps + 1
        return positions

    def keep(self, order: Sequence[int]) -> None:
        """Text `order[i]` moves to place i; those not named leave. Only those that change their place are copied."""
        moved = [(i, old) for i, old in enumerate(order) if i != old]
        if moved:
            to, of = (torch.tensor(x, device=self.device) for x in zip(*moved, strict=True))
            longest = max(self.used[old] for _, old in moved)
            for store in (self.keys, self.values):
                for x in store:
                    view = x.view(self.places, -1, *x.shape[1:])
                    view[to, :, :longest] = view[of, :, :longest]
            self.bias[to] = self.bias[of]
        picked = torch.tensor(list(order), dtype=torch.int64, device=self.device)
        self.prompts, self.steps = self.prompts[picked], self.steps[picked]
        self.used, self.n = [self.used[i] for i in order], len(order)

    def _begin(self, starts: Tensor, at: Tensor) -> None:
        """Where the next forward's keys go: entry `at` of the text whose first entry is number `starts`."""
        self._starts, self._at, self._fresh = starts, at, slice(0, 0)
        self._into: dict[int, Tensor] = {}
        self._masks: dict[Any, Tensor] = {}

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **more: Any
    ) -> tuple[Tensor, Tensor]:
        """Stores (1, K, T, E) in a prefill or (N, K, W, E) in a step; gives back what it was given."""
        k = key_states.shape[1]
        while len(self.keys) <= layer_idx:
            kind = torch.bfloat16 if self.narrow else key_states.dtype
            for store, states in ((self.keys, key_states), (self.values, value_states)):
                store.append(
                    torch.zeros(self.places * k, self.capacity, states.shape[3], dtype=kind, device=self.device)
                )
        into = self._into.get(k)
        if into is None:  # entry (text, head, at) has number (text K + head) capacity + at
            rows = (self._starts * k + self._at)[:, None] + torch.arange(k, device=self.device) * self.capacity
            # states lie as (texts, K, queries): the heads of a text before its queries
            shape = (key_states.shape[0], key_states.shape[2], k)
            into = self._into[k] = rows.view(shape).transpose(1, 2).reshape(-1)
        for store, states in ((self.keys, key_states), (self.values, value_states)):
            store[layer_idx].view(-1, states.shape[3]).index_copy_(
                0, into, states.reshape(-1, states.shape[3]).to(store[layer_idx].dtype)
            )
        if self.past is not None:
            for store, learnt in ((self.keys, self.past.keys), (self.values, self.past.values)):
                layer = store[layer_idx].view(self.places, k, self.capacity, -1)
                layer[self._fresh, :, : self.before] = learnt[layer_idx].to(layer.dtype)
        return key_states, value_states

    def mask(self, k: int, g: int, window: int | None, kind: torch.dtype) -> Tensor:
        """(N K, G W, L) what is added to the scores; made once a step."""
        found = self._masks.get((k, g, window))
        if found is None:
            longest = max(self.used)
            bias = self.bias[: self.n, :, :longest]
            if window is not None and longest > window:
                bias = torch.where(self._apart(longest)[:, None] < window, bias, float("-inf"))
            n, w, _ = bias.shape
            spread = bias[:, None, None].expand(n, k, g, w, longest)
            found = self._masks[k, g, window] = spread.reshape(n * k, g * w, longest).to(kind)
        return found

    def _apart(self, longest: int) -> Tensor:
        """(N, L) how many tokens each entry lies behind the present one."""
        places = torch.arange(longest, device=self.device)[None]
        prompts = self.prompts[:, None]
        made = prompts + (places - prompts).div(self.width, rounding_mode="floor")
        return prompts + self.steps[:, None] - 1 - torch.where(places < prompts, places, made)

    def attend(self, query: Tensor, layer: int, scale: float, window: int | None) -> Tensor:
        """query (N, H, W, E) -> (N, W, H, E): a product a head of keys over all entries of a text."""
        n, h, w, e = query.shape
        keys, values = self.keys[layer], self.values[layer]
        k = keys.shape[0] // self.places
        longest = max(self.used)
        q = query.reshape(n * k, h // k * w, e).to(keys.dtype)
        bias = self.mask(k, h // k, window, keys.dtype)
        seen = keys[: n * k, :longest]
        if keys.dtype == torch.bfloat16 and query.device.type == "cpu":
            seen = seen.contiguous()  # a copy and a product cost a quarter of a product with rows that lie apart
        scores = torch.baddbmm(bias, q, seen.transpose(1, 2), alpha=scale)
        weights = _softmax(scores).to(values.dtype)
        out = torch.bmm(weights, values[: n * k, :longest])
        return out.view(n, h, w, -1).transpose(1, 2)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """The longest text's entries; positions are always given beside."""
        return max(self.used, default=0)

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        """As transformers asks; no mask is built from it."""
        return self.get_seq_length() + query_length, 0


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    packing: Packing | None = None,
    slots: Slots | None = None,
    position_bias: Tensor | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """What transformers calls in each attention layer while a text is generated.

    With `packing`: the prefill of a decoder, query, key, value (1, H, T, E). With `slots`: a step, query (N, H, W, E).
    With neither: an encoder-decoder; where there are more queries than keys, W beams share a source.
    """
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    if packing is not None:
        return packed_attention(
            module, query, key, value, None, scaling=scale, sliding_window=sliding_window, packing=packing
        )
    if slots is not None:
        layer: Any = module.layer_idx
        return slots.attend(query, layer, scale, sliding_window), None
    return _padded(query, key, value, attention_mask, position_bias, scale), None


def _padded(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, bias: Tensor | None, scale: float) -> Tensor:
    """(R, H, T, E) and (N or R, H, S, E) -> (R, T, H, E), the products in float32."""
    rows, h, _, e = q.shape
    shared = rows // k.shape[0]
    q, k, v = (x if x.dtype == torch.float64 else x.float() for x in (q, k, v))
    if shared > 1:  # the beams of a text become its queries
        q = q.view(-1, shared, h, e).transpose(1, 2)
    added = mask if bias is None else bias.to(q.dtype) if mask is None else bias.to(q.dtype) + mask
    if q.shape[2] > 1 and shared == 1:
        out = F.scaled_dot_product_attention(
            q, k, v, attn_mask=None if added is None else added.to(q.dtype), scale=scale
        )
    else:
        scores = torch.matmul(q * scale, k.transpose(2, 3))
        out = torch.matmul(_softmax(scores if added is None else scores + added.to(scores.dtype)), v)
    if shared > 1:
        return out.transpose(1, 2).reshape(rows, 1, h, -1)
    return out.transpose(1, 2)


def _softmax(scores: Tensor) -> Tensor:
    return torch.softmax(scores, -1, dtype=torch.float64 if scores.dtype == torch.float64 else torch.float32)


def register() -> None:
    """Makes NAME known to transformers as `attn_implementation`; without a mask function, so that no mask is built."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attention)
