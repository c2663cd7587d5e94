"""Which example comes next. A sampler sees ids, labels, lengths, scores and past losses; never a tensor."""

from tunewright.samplers.balanced import Balanced
from tunewright.samplers.curriculum import Curriculum
from tunewright.samplers.length import LengthAware
from tunewright.samplers.shuffle import Shuffle

__all__ = ["Balanced", "Curriculum", "LengthAware", "Shuffle"]
