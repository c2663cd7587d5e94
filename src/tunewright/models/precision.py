"""Which number format the matrix products use: bfloat16 where the machine multiplies it natively, else float32."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Literal

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
    """Whether bfloat16 products are the faster ones on devices of this kind, here: CUDA capability 8, AMX, or AVX512_BF16.

    Not AVX512_BF16 on Intel's processors without AMX (or where a virtual machine hides it): their instruction takes two
    cycles, and products reach half the rate of float32 (84 against 165 GFLOP/s a core); on AMD's they reach twice of it.
    """
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    fast = _has("_is_amx_tile_supported") or (_has("_is_avx512_bf16_supported") and "Intel" not in _maker())
    return fast and torch.backends.cpu.get_cpu_capability() in ("AVX512", "AMX")


def _has(question: str) -> bool:
    return bool(getattr(torch.cpu, question, lambda: False)())


def _maker() -> str:
    """What the processor calls itself."""
    asked: Callable[[], dict[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)
    told = str(asked().get("cpu_name", ""))
    if not told and sys.platform.startswith("linux"):
        with suppress(OSError):
            told = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")[:4096]
    return told


def chosen(precision: Precision, device: Device = "auto") -> Literal["float32", "bfloat16"]:
    """`precision` with "auto" decided for the device where the model lives."""
    if precision == "auto":
        return "bfloat16" if bfloat16_is_native(chosen_device(device).type) else "float32"
    return precision
