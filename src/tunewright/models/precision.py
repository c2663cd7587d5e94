"""Which number format the matrix products use: bfloat16 where the machine multiplies it natively, else float32."""

from __future__ import annotations

from functools import cache
from typing import Literal

import torch

from tunewright.core.errors import Problem, RecipeError

Precision = Literal["auto", "float32", "bfloat16"]
Device = Literal["auto", "cpu", "cuda"]


def chosen_device(device: Device = "auto") -> torch.device:
    """Where the model lives: the GPU where there is one, unless the recipe says otherwise.

    Raises:
        RecipeError: it asks for a GPU and there is none.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise RecipeError(
            Problem(where="model.device", found="cuda, and PyTorch finds no GPU here", allowed="auto or cpu",
                    to_do="leave it at auto: that takes a GPU where there is one")
        )  # fmt: skip
    return torch.device(device)


@cache
def bfloat16_is_native(kind: str = "cpu") -> bool:
    """Whether devices of this kind, here, have bfloat16 matrix products: CUDA capability 8, AVX512_BF16 or AMX."""
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.backends.cpu.get_cpu_capability()
    native = bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)())
    amx = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)()
    return bool(native or amx) and "AVX512" in capabilities


def chosen(precision: Precision, device: Device = "auto") -> Literal["float32", "bfloat16"]:
    """`precision` with "auto" decided for the device where the model lives."""
    if precision == "auto":
        return "bfloat16" if bfloat16_is_native(chosen_device(device).type) else "float32"
    return precision
