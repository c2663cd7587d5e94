"""Few shapes of products: numbers of rows are rounded up, because oneDNN compiles code for each shape that it meets.

On a CPU in bfloat16 the first product of a shape costs 0.7 to 1 ms more than the next of the same. Packed batches have
a new number of tokens at almost every step, and a step with LoRA has some 60 kinds of products, most of them thin: a
fifth of a small encoder's step went there.
"""

from __future__ import annotations

_MOST, _LEAST = 64, 16


def rounded(rows: int) -> int:
    """`rows` rounded up, by 5% on average for some hundreds and by less for thousands."""
    step = min(max(1 << max(rows.bit_length() - 4, 0), _LEAST), _MOST)
    return -(-rows // step) * step
