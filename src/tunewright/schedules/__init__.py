"""Numbers over time. A schedule is a frozen value: the same point in time gives the same number."""

from tunewright.schedules.composed import Composed
from tunewright.schedules.constant import Constant
from tunewright.schedules.cosine import Cosine
from tunewright.schedules.linear import Linear
from tunewright.schedules.scaled import Scaled
from tunewright.schedules.warmup import Warmup

__all__ = ["Composed", "Constant", "Cosine", "Linear", "Scaled", "Warmup"]
