"""Random numbers keyed by what they are for, never by the order in which they are asked.

`key(seed, "split", row_id)` is the same number on every machine, in any order and with any
number of workers. Everything random in Tunewright starts here.
"""

from __future__ import annotations

import hashlib
import struct


def key(*parts: int | str) -> int:
    """A non-negative 63-bit integer that depends on all `parts` and on nothing else."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        text = str(part).encode()
        digest.update(struct.pack("<I", len(text)))
        digest.update(text)
    return int.from_bytes(digest.digest(), "little") >> 1


def uniform(*parts: int | str) -> float:
    """A number in [0, 1) that depends on `parts` alone."""
    return key(*parts) / 2.0**63
