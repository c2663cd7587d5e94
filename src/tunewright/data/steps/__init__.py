"""Steps of the data side, in one file each; importing this registers them."""

from tunewright.data.steps import mojibake as mojibake
from tunewright.data.steps import strip as strip
from tunewright.data.steps.protocol import (
    NO_MODELS,
    PHASES,
    Described,
    Edit,
    Encode,
    Models,
    Need,
    Perplexity,
    Phase,
    Room,
    RowStep,
    TextStep,
    Write,
)

__all__ = [
    "NO_MODELS",
    "PHASES",
    "Described",
    "Edit",
    "Encode",
    "Models",
    "Need",
    "Perplexity",
    "Phase",
    "Room",
    "RowStep",
    "TextStep",
    "Write",
]
