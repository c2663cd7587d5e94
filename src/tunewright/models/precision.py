"""Which number format the matrix products use: bfloat16 where the machine multiplies it natively, else float32."""

from __future__ import annotations

from functools import cache
from typing import Literal

import torch

Precision = Literal["auto", "float32", "bfloat16"]


@cache
def bfloat16_is_native() -> bool:
    """Whether this machine has bfloat16 matrix products: CUDA capability 8, AVX512_BF16 or AMX."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.backends.cpu.get_cpu_capability()
    native = bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)())
    amx = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)()
    return bool(native or amx) and "AVX512" in capabilities


def chosen(precision: Precision) -> Literal["float32", "bfloat16"]:
    """`precision` with "auto" decided."""
    if precision == "auto":
        return "bfloat16" if bfloat16_is_native() else "float32"
    return precision
