"""White space around a text, of whatever kind Unicode knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from tunewright.core.registry import register
from tunewright.data.steps.protocol import Edit, Phase

DESCRIBED = {"outer_space": ("White space around the text", "stripped")}


@register("step", "strip")
@dataclass(frozen=True)
class Strip:
    """Strips it."""

    phase: ClassVar[Phase] = "texts"
    reason: ClassVar[str] = "outer_space"

    def __call__(self, texts: Sequence[str]) -> list[Edit | None]:
        return [None if len(bare := text.strip()) == len(text) else Edit(bare) for text in texts]
