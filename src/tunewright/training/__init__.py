"""The loop, its windows and its checkpoints. Receives techniques as arguments; prints nothing, decides nothing."""

from tunewright.training.checkpoint import Checkpoints, State
from tunewright.training.loop import train
from tunewright.training.stopping import Patience
from tunewright.training.windows import Plan, Windows

__all__ = ["Checkpoints", "Patience", "Plan", "State", "Windows", "train"]
