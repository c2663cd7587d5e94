"""Few shapes of products: numbers of rows are rounded up, because oneDNN compiles code for each shape that it meets.

On a CPU in bfloat16 the first product of a shape costs 0.7 to 1 ms more than the next of the same. Packed batches have
a new number of tokens at almost every step, and a step with LoRA has some 60 kinds of products, most of them thin: a
fifth of a small encoder's step went there. In full training each of these compilations costs 3 to 4 ms on a processor with
AMX, and the whole batch is filled up once (`filled`), which serves every product in it.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from tunewright.core.tensors import Batch

_MOST, _LEAST = 64, 16


def rounded(rows: int) -> int:
    """`rows` rounded up, by 5% on average for some hundreds and by less for thousands."""
    step = min(max(1 << max(rows.bit_length() - 4, 0), _LEAST), _MOST)
    return -(-rows // step) * step


def filled(batch: Batch) -> Batch:
    """The batch with sequences of tokens 0 behind the others, none longer than these, for a rounded number of tokens.

    Nothing reads them: no unit stands in them, and their gradients are zeros. The batch itself where it is round, and
    one of pairs, whose draws have an example each.
    """
    fill = rounded(len(batch.tokens)) - len(batch.tokens)
    if not fill or batch.sides != 1:
        return batch
    longest = max(batch.lengths)
    whole, rest = divmod(fill, longest)
    pieces = (longest,) * whole + (rest,) * bool(rest)
    return replace(
        batch,
        lengths=(*batch.lengths, *pieces),
        tokens=torch.constant_pad_nd(batch.tokens, (0, fill)),
        types=None if batch.types is None else torch.constant_pad_nd(batch.types, (0, fill)),
        keys=None if batch.keys is None else torch.constant_pad_nd(batch.keys, (0, len(pieces))),
    )
