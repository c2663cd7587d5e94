"""A decoder of transformers, a step at a time: prompts in without padding, finished texts out, new ones in their place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from tunewright.models.attention import Packing
from tunewright.models.cache import Slots
from tunewright.models.virtual import Plain

PREFILL = 4096  # tokens of prompts in one forward, or one prompt
TEXTS = 128  # more at once are not faster on two cores, and their scores take memory


class Decoder:
    """The texts that a causal model is at work on.

    Args:
        inner: the model with its language-modelling head.
        width: beams of each text.
        narrow: keys and values in bfloat16.
        budget: entries of the cache in all; one text may need more.
        virtual: what stands before the prompts.
    """

    def __init__(
        self, inner: Any, width: int, narrow: bool, budget: int, device: torch.device, virtual: Plain | None = None
    ) -> None:
        self.inner, self.width, self.budget, self.device = inner, width, budget, device
        self.virtual = virtual or Plain(inner)
        self.past = self.virtual.past()
        self.slots = Slots(width, narrow, device, self.past)
        self._needs: list[int] = []

    def need(self, prompt: int, room: int) -> int:
        """Entries that a text takes, all steps made."""
        return prompt + self.slots.before + room * self.width

    def admit(self, waiting: Sequence[int]) -> int:
        """How many of those that wait (their needs, largest first) may come now; makes room for them.

        Some places are left free until there are enough of them for a prefill to pay.
        """
        slots, n = self.slots, len(self._needs)
        capacity = max([waiting[0], *self._needs])
        most = min(TEXTS, n + len(waiting))
        places = max(n, 1, min(self.budget // capacity, most))
        if capacity > slots.capacity or places > 1.25 * slots.places:
            slots.resize(places, capacity)
        free = min(slots.places - n, len(waiting))
        return free if n == 0 or 4 * free >= min(slots.places, 4 * len(waiting)) else 0

    def open(self, prompts: Sequence[Tensor], needs: Sequence[int]) -> Tensor:
        """The prompts' own forward: the scores (n, V) of each text's first new token."""
        self._needs += needs
        out, first = [], 0
        while first < len(prompts):
            last, tokens = first, 0
            while last < len(prompts) and (last == first or tokens + len(prompts[last]) <= PREFILL):
                tokens += len(prompts[last])
                last += 1
            out.append(self._prefill(prompts[first:last]))
            first = last
        return torch.cat(out) if len(out) > 1 else out[0]

    def _prefill(self, prompts: Sequence[Tensor]) -> Tensor:
        packing = replace(Packing.of(tuple(len(p) for p in prompts), self.device), past=self.past)
        self.slots.open(packing)
        ends = packing.starts + torch.tensor(packing.lengths, device=self.device) - 1
        out = self.inner(
            **self.virtual.inputs(torch.cat(list(prompts))[None]), position_ids=(packing.places + packing.before)[None],
            past_key_values=self.slots, use_cache=True, logits_to_keep=ends, packing=packing,
        )  # fmt: skip
        scores: Tensor = out.logits[0]
        return scores

    def step(self, tokens: Tensor, parents: Tensor | None) -> Tensor:
        """tokens (N, W), each beam's next, that follow the beams `parents` (N, W): scores (N W, V)."""
        positions = self.slots.step(parents)
        out = self.inner(
            input_ids=tokens, position_ids=positions, past_key_values=self.slots, use_cache=True, slots=self.slots,
        )  # fmt: skip
        scores: Tensor = out.logits.flatten(0, 1)
        return scores

    def keep(self, order: Sequence[int]) -> None:
        """Text `order[i]` goes on in place i; the others are finished."""
        self.slots.keep(order)
        self._needs = [self._needs[i] for i in order]
