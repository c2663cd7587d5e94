"""Memory on a CPU: what a step has freed is kept for the next one, and compiled products of past shapes are let go.

glibc gives large blocks back to the kernel when they are freed, and every step then takes its page faults again: 15% of
a training step of a small encoder. oneDNN keeps the code that it made for each shape of a product, 1,024 by default;
packed batches have a new number of tokens at almost every step, so most are never used again: 200 MiB after 60 steps.
"""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_CAPACITY = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
_PRIMITIVES = 256  # a step of an encoder with LoRA makes about 100 kinds of products, in few shapes (`shapes.py`)


def settle() -> None:
    """Both measures, once a process; to be called before the first product. What the user has set stays."""
    keep_freed_memory()
    bound_compiled_products()


@cache
def keep_freed_memory() -> bool:
    """Asks glibc not to return freed memory; True where that was possible. Elsewhere nothing is done."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        return bool(mallopt(_MMAP_THRESHOLD, 1 << 30) and mallopt(_TRIM_THRESHOLD, (1 << 31) - 1))
    except (OSError, AttributeError):
        return False


def give_back() -> None:
    """Returns free memory to the system now: between training and prediction, whose tensors have other sizes."""
    if keep_freed_memory():
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def bound_compiled_products() -> None:
    """Bounds oneDNN's cache of compiled products; it reads the number when it makes its first one."""
    os.environ.setdefault(_CAPACITY, str(_PRIMITIVES))
