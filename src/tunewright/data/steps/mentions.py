"""Names of accounts after an at sign (`@ann`, `@小明`), by policy: kept, removed, or one token for all.

E-mail addresses are none, nor is an at sign that stands alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from tunewright.core.registry import register
from tunewright.data.steps.protocol import Edit, Phase
from tunewright.data.steps.rewriting import replaced, rewritten, settled

_NAME = re.compile(r"(?<![A-Za-z0-9_%+\-/@])[@＠][\w\-]{1,30}(?![\w\-@])(?!\.[A-Za-z]{2})")

DESCRIBED = {"mentions": ("Names of accounts", "treated as the recipe says")}


@register("step", "mentions")
@dataclass(frozen=True)
class Mentions:
    """Treats them by the policy; `token` is what stands for one."""

    policy: Literal["keep", "remove", "token"] = "token"
    token: str = "<user>"

    phase: ClassVar[Phase] = "texts"
    reason: ClassVar[str] = "mentions"
    shorthand: ClassVar[str] = "policy"

    def __call__(self, texts: Sequence[str]) -> list[Edit | None]:
        if self.policy == "keep":
            return [None] * len(texts)
        word = self.token if self.policy == "token" else ""

        def rewrite(text: str) -> str:
            return replaced(text, [(*match.span(), word) for match in _NAME.finditer(text)])

        return rewritten(texts, lambda text: "@" in text or "＠" in text, settled(rewrite))
