"""Paraphrase: a language model says the text in other words.

After Dai et al. 2023, "AugGPT: Leveraging ChatGPT for Text Data Augmentation". Evidence: rewriting by a language model helps
where rows are few; on pre-trained models with more rows mostly not (Longpre et al. 2020, of other augmentations). Cost: one
answer of the model a child. Copies differ by the style that is asked for. Needs a model; refuses without one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from tunewright.core.registry import register
from tunewright.data.augmentation.instructions import filled, instruction
from tunewright.data.augmentation.protocol import Draw, Kit
from tunewright.data.augmentation.rewriting import Rewrites, written

ENGLISH = (
    "Rewrite the text below in other words{style}. Keep its meaning, its tone, and every name, number, link and negation. "
    "Answer with the rewritten text alone.\n\nText: {text}"
)
CHINESE = "用不同的说法改写下面的文本{style}。保持原意、语气，以及所有名称、数字、链接和否定。只输出改写后的文本。\n\n文本：{text}"
STYLES = ("", ", a little shorter", ", a little longer", ", more casually", ", more formally")
CHINESE_STYLES = ("", "，稍短一些", "，稍长一些", "，更口语化", "，更书面化")


@register("operator", "paraphrase")
@dataclass(frozen=True)
class Paraphrase(Rewrites):
    """`prompt`: what is asked instead of the own instruction; {text} and {style} are filled in."""

    prompt: str = ""

    shorthand: ClassVar[str] = "prompt"

    def __post_init__(self) -> None:
        if self.prompt and "{text}" not in self.prompt:
            raise ValueError("prompt: it must hold {text}")

    def rewrite(self, texts: Sequence[str], draws: Sequence[Draw], kit: Kit) -> list[str]:
        prompts = []
        for text, draw in zip(texts, draws, strict=True):
            nth = draw.copy % len(STYLES)
            style = instruction(text, STYLES[nth], CHINESE_STYLES[nth])
            template = self.prompt or instruction(text, ENGLISH, CHINESE)
            prompts.append(filled(template, "augment.paraphrase.prompt", text=text, style=style))
        return written(prompts, kit, "paraphrase")
