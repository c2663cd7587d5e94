"""Which parameters learn. A member changes a model in place or wraps it; the loop sees what still needs a gradient."""

from tunewright.adaptations.bias import Bias
from tunewright.adaptations.bottleneck import Bottleneck
from tunewright.adaptations.chain import Chain, stores_of
from tunewright.adaptations.frozen import Frozen
from tunewright.adaptations.full import Full
from tunewright.adaptations.head import Head
from tunewright.adaptations.lora import Lora
from tunewright.adaptations.quantized import Quantized

__all__ = ["Bias", "Bottleneck", "Chain", "Frozen", "Full", "Head", "Lora", "Quantized", "stores_of"]
