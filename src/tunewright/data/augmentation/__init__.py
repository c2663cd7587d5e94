"""New rows of old ones: operators in one file each, gates that every child must pass, and what each operator is worth.

Of the train split alone. Needs no tensors: language models and encoders reach it as plain callables.
"""

from tunewright.data.augmentation.back_translation import BackTranslation
from tunewright.data.augmentation.deletion import Deletion
from tunewright.data.augmentation.generate import Generate
from tunewright.data.augmentation.insertion import Insertion
from tunewright.data.augmentation.paraphrase import Paraphrase
from tunewright.data.augmentation.protocol import Ask, Child, Kit, Operator
from tunewright.data.augmentation.structure import Structure
from tunewright.data.augmentation.swap import Swap
from tunewright.data.augmentation.synonyms import Synonyms
from tunewright.data.augmentation.typos import Typos
from tunewright.data.augmentation.words import Guard

__all__ = [
    "Ask", "BackTranslation", "Child", "Deletion", "Generate", "Guard", "Insertion", "Kit", "Operator", "Paraphrase",
    "Structure", "Swap", "Synonyms", "Typos",
]  # fmt: skip
