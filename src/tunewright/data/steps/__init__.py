"""Steps of the data side, in one file each; importing this registers them."""

from tunewright.data.steps import arbitrate as arbitrate
from tunewright.data.steps import augment as augment
from tunewright.data.steps import control_characters as control_characters
from tunewright.data.steps import difficulty as difficulty
from tunewright.data.steps import han as han
from tunewright.data.steps import hashtags as hashtags
from tunewright.data.steps import html as html
from tunewright.data.steps import language as language
from tunewright.data.steps import length as length
from tunewright.data.steps import mentions as mentions
from tunewright.data.steps import mojibake as mojibake
from tunewright.data.steps import near_duplicates as near_duplicates
from tunewright.data.steps import perplexity as perplexity
from tunewright.data.steps import personal_data as personal_data
from tunewright.data.steps import pseudo_labels as pseudo_labels
from tunewright.data.steps import repetition as repetition
from tunewright.data.steps import script as script
from tunewright.data.steps import semantic_duplicates as semantic_duplicates
from tunewright.data.steps import strip as strip
from tunewright.data.steps import suspects as suspects
from tunewright.data.steps import symbols as symbols
from tunewright.data.steps import unicode as unicode
from tunewright.data.steps import urls as urls
from tunewright.data.steps import white_space as white_space
from tunewright.data.steps import width as width
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
