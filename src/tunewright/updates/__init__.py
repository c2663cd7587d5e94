"""What a gradient does to the parameters. A wrapper changes the gradient and hands it to the update inside."""

from tunewright.updates.adamw import AdamW
from tunewright.updates.adamw_8bit import AdamW8bit
from tunewright.updates.clip import Clip

__all__ = ["AdamW", "AdamW8bit", "Clip"]
