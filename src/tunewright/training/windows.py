"""The micro-batches of each optimizer step.

How many examples learn together (`batch`, or `batch_tokens`) is a choice of method; how they are cut into
micro-batches (`micro_tokens`) is a matter of memory and changes no gradient. Gradient accumulation is no feature
of its own: it is a window with more than one batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunewright.core.tensors import Batch, BoundSampler

Collate = Callable[[Sequence[str], int], Batch]


@dataclass(frozen=True)
class Plan:
    """How much is learnt: `examples` draws in all, over `steps` optimizer steps, `batch` or `batch_tokens` each."""

    examples: int
    steps: int
    batch: int
    batch_tokens: int | None = None

    @classmethod
    def of(
        cls, rows: int, tokens: int, *, epochs: float, batch: int, batch_tokens: int | None, limit: int | None
    ) -> Plan:
        """The plan of `epochs` passes over `rows` examples with `tokens` tokens, cut short at `limit` steps."""
        examples = max(1, round(rows * epochs))
        batch = min(batch, rows)
        per_step = batch if batch_tokens is None else max(1.0, batch_tokens / max(tokens / rows, 1.0))
        steps = math.ceil(examples / per_step)
        if limit is not None and limit < steps:
            steps, examples = limit, min(examples, math.ceil(limit * per_step))
        return cls(examples, max(steps, 1), batch, batch_tokens)


class Windows(Iterator[list[Batch]]):
    """Draws the examples of each step, lays the longest first, and cuts them into micro-batches by tokens.

    `tasks` says which of several tasks an example is of: a micro-batch holds those of one. Equal lengths lie side by
    side so that attention can take them together. `state` and `load` make a resumed run draw exactly what it would
    have drawn.
    """

    def __init__(
        self,
        sampler: BoundSampler,
        collate: Collate,
        lengths: Mapping[str, int],
        plan: Plan,
        *,
        micro_tokens: int = 8192,
        tasks: Mapping[str, str] | None = None,
    ) -> None:
        self.sampler, self.collate, self.lengths, self.plan = sampler, collate, lengths, plan
        self.micro_tokens, self.tasks = micro_tokens, tasks or {}
        self.step, self.drawn, self.tokens = 0, 0, 0

    def __next__(self) -> list[Batch]:
        ids = self._draw()
        ids.sort(key=lambda i: (self.tasks.get(i, ""), -self.lengths[i]))
        out: list[list[str]] = [[]]
        room = self.micro_tokens
        for id_ in ids:
            other = bool(out[-1]) and self.tasks.get(id_) != self.tasks.get(out[-1][-1])
            if out[-1] and (other or self.lengths[id_] > room):
                out.append([])
                room = self.micro_tokens
            out[-1].append(id_)
            room -= self.lengths[id_]
        window = [self.collate(micro, self.step) for micro in out]
        self.step += 1
        return window

    def _draw(self) -> list[str]:
        left = max(self.plan.examples - self.drawn, 1)
        if self.plan.batch_tokens is None:
            ids = self.sampler.draw(min(self.plan.batch, left))
        else:
            # what one step draws beyond its budget the next draws less, so that no step at the end is left a crumb
            goal = (self.step + 1) * self.plan.batch_tokens
            most = left - (self.plan.steps - self.step - 1)
            ids = []
            while not ids or (self.tokens < goal and len(ids) < most):
                ids += self.sampler.draw(1)
                self.tokens += self.lengths[ids[-1]]
        self.drawn += len(ids)
        return ids

    def state(self) -> dict[str, Any]:
        return {"step": self.step, "drawn": self.drawn, "tokens": self.tokens, "sampler": self.sampler.state()}

    def load(self, state: Mapping[str, Any]) -> None:
        self.step, self.drawn, self.tokens = int(state["step"]), int(state["drawn"]), int(state["tokens"])
        self.sampler.load(state["sampler"])
