"""How hard rows are, one measure a file (registry family "difficulty"): the higher the harder.

Scores are for curricula (`training.sampler: curriculum`) and for looking at rows; they say nothing of a row's worth.
"""

from tunewright.data.difficulty import disagreement as disagreement
from tunewright.data.difficulty import instruction as instruction
from tunewright.data.difficulty import length as length
from tunewright.data.difficulty import probe as probe
from tunewright.data.difficulty import rarity as rarity
from tunewright.data.difficulty import readability as readability
from tunewright.data.difficulty.protocol import Difficulty, Means, measured

__all__ = ["Difficulty", "Means", "measured"]
