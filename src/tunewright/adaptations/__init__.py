"""Which parameters learn. A member changes a model in place or wraps it; the loop sees what still needs a gradient."""

from tunewright.adaptations.bias import Bias
from tunewright.adaptations.bottleneck import Bottleneck
from tunewright.adaptations.chain import Chain, stores_of
from tunewright.adaptations.frozen import Frozen
from tunewright.adaptations.full import Full
from tunewright.adaptations.head import Head
from tunewright.adaptations.ia3 import IA3
from tunewright.adaptations.lora import Lora
from tunewright.adaptations.p_tuning import PTuning
from tunewright.adaptations.p_tuning_v2 import PTuningV2
from tunewright.adaptations.prefix_tuning import PrefixTuning
from tunewright.adaptations.prompt_tuning import PromptTuning
from tunewright.adaptations.quantized import Quantized
from tunewright.adaptations.vera import Vera

__all__ = [
    "IA3",
    "Bias",
    "Bottleneck",
    "Chain",
    "Frozen",
    "Full",
    "Head",
    "Lora",
    "PTuning",
    "PTuningV2",
    "PrefixTuning",
    "PromptTuning",
    "Quantized",
    "Vera",
    "stores_of",
]
