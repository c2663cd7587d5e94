"""Examples of similar length together.

An epoch's shuffled order is cut into pools of `pool` examples; each is sorted by length, cut into chunks of
`chunk`, and the chunks are shuffled. It spares padding where a model cannot be packed; packed batches need it
only to keep micro-batches of even size. Sorting makes the batches less random: `pool` is the price.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from tunewright.core.registry import register
from tunewright.core.seeds import key
from tunewright.core.tensors import Pool
from tunewright.samplers.shuffle import Epochs


@register("sampler", "length_aware")
@dataclass(frozen=True)
class LengthAware:
    """`pool` examples are sorted together, then handed out in chunks of `chunk` (the batch size, usually)."""

    pool: Annotated[int, Ge(1)] = 1600
    chunk: Annotated[int, Ge(1)] = 32

    def bind(self, pool: Pool, seed: int) -> _LengthAware:
        if pool.lengths is None:
            raise ValueError("the length-aware sampler needs lengths")
        return _LengthAware(self, pool, seed)


class _LengthAware(Epochs):
    def __init__(self, options: LengthAware, pool: Pool, seed: int) -> None:
        super().__init__(pool, seed)
        assert pool.lengths is not None
        self.options = options
        self.lengths = dict(zip(pool.ids, pool.lengths, strict=True))

    def order(self, epoch: int) -> list[str]:
        shuffled = super().order(epoch)
        out: list[str] = []
        for start in range(0, len(shuffled), self.options.pool):
            pool = sorted(shuffled[start : start + self.options.pool], key=lambda i: self.lengths[i])
            chunks = [pool[k : k + self.options.chunk] for k in range(0, len(pool), self.options.chunk)]
            chunks.sort(key=lambda chunk: key(self.seed, "chunk", epoch, chunk[0]))
            out += [id_ for chunk in chunks for id_ in chunk]
        return out
