"""How small a difference a test set could have shown."""

from __future__ import annotations

import math
from statistics import NormalDist


def smallest_detectable(items: int, discordant: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest paired difference of proportions that McNemar's test finds with the given power.

    Connor's formula (Biometrics 43, 1987): n = (z_a sqrt(s) + z_b sqrt(s - d^2))^2 / d^2, solved for d, with
    s the share of discordant items. A difference of d needs a discordance of d at least, so s is the
    larger of the two where the contenders hardly differ.

    Args:
        items: how many items were compared.
        discordant: how many of them only one contender got right.
    """
    share = discordant / items
    low, high = 0.0, 1.0
    for _ in range(60):
        d = (low + high) / 2
        s = max(share, d)
        needed = _z(1 - alpha / 2) * math.sqrt(s) + _z(power) * math.sqrt(s - d * d)
        low, high = (low, d) if needed <= d * math.sqrt(items) else (d, high)
    return high


def smallest_detectable_normal(error: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """The same for a difference whose standard error is known and whose test is a z test."""
    return (_z(1 - alpha / 2) + _z(power)) * error


def _z(level: float) -> float:
    return NormalDist().inv_cdf(level)
