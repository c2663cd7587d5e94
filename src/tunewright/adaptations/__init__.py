"""Which parameters learn. A member changes a model in place or wraps it; the loop sees what still needs a gradient."""

from tunewright.adaptations.chain import Chain, stores_of
from tunewright.adaptations.frozen import Frozen
from tunewright.adaptations.full import Full
from tunewright.adaptations.lora import Lora
from tunewright.adaptations.quantized import Quantized

__all__ = ["Chain", "Frozen", "Full", "Lora", "Quantized", "stores_of"]
