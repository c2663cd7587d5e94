"""Several tasks at once: what each weighs in the loss, and whose examples come next.

Two families: "weighting" (fixed, size, uncertainty, gradnorm) and "mixture" (proportional, equal, tempered).
"""

from tunewright.mixing.fixed import Fixed
from tunewright.mixing.gradnorm import GradNorm
from tunewright.mixing.mixed import Mixed
from tunewright.mixing.mixture import Mixture
from tunewright.mixing.protocol import BoundWeighting, Part, Shares, Weighting
from tunewright.mixing.shares import Equal, Proportional, Tempered
from tunewright.mixing.size import Size
from tunewright.mixing.uncertainty import Uncertainty

__all__ = [
    "BoundWeighting", "Equal", "Fixed", "GradNorm", "Mixed", "Mixture", "Part", "Proportional", "Shares", "Size", "Tempered",
    "Uncertainty", "Weighting",
]  # fmt: skip
