"""What a gradient does to the parameters. A wrapper changes the gradient, or the rates, for the update inside it."""

from tunewright.updates.adamw import AdamW
from tunewright.updates.adamw_8bit import AdamW8bit
from tunewright.updates.clip import Clip
from tunewright.updates.layerwise import Layerwise
from tunewright.updates.lora_plus import LoraPlus

__all__ = ["AdamW", "AdamW8bit", "Clip", "Layerwise", "LoraPlus"]
