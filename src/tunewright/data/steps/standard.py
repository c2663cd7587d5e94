"""What is done to texts where nothing else is said: nothing that a reader would miss."""

from tunewright.data.steps.mojibake import Mojibake
from tunewright.data.steps.strip import Strip

STANDARD = (Mojibake(), Strip())
