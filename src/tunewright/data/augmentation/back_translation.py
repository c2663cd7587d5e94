"""Back-translation: the text goes into another language and back.

Sennrich et al. 2016, "Improving Neural Machine Translation Models with Monolingual Data"; as augmentation of labelled texts
Yu et al. 2018 (QANet) and Xie et al. 2020 (UDA). Evidence against it on pre-trained models: Longpre et al. 2020. Cost: two
answers of the model a child. Copies go through one language of `through` after the other. Needs a model; refuses without.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunewright.core.registry import register
from tunewright.core.scripts import chinese
from tunewright.data.augmentation.instructions import filled
from tunewright.data.augmentation.protocol import Draw, Kit
from tunewright.data.augmentation.rewriting import Rewrites, written

PROMPT = "Translate the text below into {language}. Answer with the translation alone.\n\nText: {text}"


@register("operator", "back_translation")
@dataclass(frozen=True)
class BackTranslation(Rewrites):
    """`through`: languages on the way; `home`: the texts' own, found out where empty; `prompt` has {language} and {text}."""

    through: tuple[str, ...] = ("German", "French", "Japanese")
    home: str = ""
    prompt: str = PROMPT

    def __post_init__(self) -> None:
        if not self.through or not all(self.through):
            raise ValueError("through: name at least one language")
        if "{text}" not in self.prompt:
            raise ValueError("prompt: it must hold {text}")

    def rewrite(self, texts: Sequence[str], draws: Sequence[Draw], kit: Kit) -> list[str]:
        away = [
            self._asked(text, self.through[draw.copy % len(self.through)])
            for text, draw in zip(texts, draws, strict=True)
        ]
        there = written(away, kit, "back_translation")
        homes = [self.home or ("Chinese" if chinese([text]) else "English") for text in texts]
        back = written(
            [self._asked(t, home) for t, home in zip(there, homes, strict=True) if t], kit, "back_translation"
        )
        answers = iter(back)
        return [next(answers) if text else "" for text in there]

    def _asked(self, text: str, language: str) -> str:
        return filled(self.prompt, "augment.back_translation.prompt", text=text, language=language)
