"""Generation: a language model writes new texts for a label, shown a few of train.

After Yoo et al. 2021, "GPT3Mix", and Ye et al. 2022, "ZeroGen", in the order generate, filter, train: what is written goes
through all gates, and the probe must agree with the label. Each ask shows other rows of train (never held-out ones), drawn
by key. For a scarce or unlabelled domain: `domain` says what the texts are, `labels` what each label means; labels that
have no row yet can be asked for by a quota. Cost: one answer of the model a child. Needs a model; refuses without one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from annotated_types import Ge

from tunewright.core.registry import register
from tunewright.core.scripts import chinese
from tunewright.data.augmentation.protocol import Ask, Child, Draw, Kind, Kit, Need
from tunewright.data.augmentation.rewriting import written
from tunewright.data.journal import Draft

ENGLISH = ("Write one new text{domain} with the label {label}{meaning}.", "Examples of this label:",
           "Do not copy them; vary the subject and the words. Answer with the new text alone.")  # fmt: skip
CHINESE = ("写一条新的文本{domain}，其标签为{label}{meaning}。", "该标签的例子：",
           "不要照抄，换一个内容和说法。只输出新文本。")  # fmt: skip


@register("operator", "generate")
@dataclass(frozen=True)
class Generate:
    """`shots`: rows shown an ask; `domain`: what the texts are; `labels`: what each label means; of rows without a pair."""

    kind: ClassVar[Kind] = "new"
    needs: ClassVar[tuple[Need, ...]] = ("write",)
    shots: Annotated[int, Ge(0)] = 3
    domain: str = ""
    labels: dict[str, str] = field(default_factory=dict, hash=False)

    def __call__(self, asks: Sequence[Ask], kit: Kit, name: str) -> list[Child | None]:
        own = [i for i, ask in enumerate(asks) if ask.row is None or ask.row.pair is None]
        shown = [self._shown(asks[i], kit, name) for i in own]
        own_language = chinese([row.text for row in kit.train[:200]] + [self.domain, *self.labels.values()])
        prompts = [
            self._prompt(asks[i].label, rows, own_language, asks[i].copy) for i, rows in zip(own, shown, strict=True)
        ]
        found: list[Child | None] = [None] * len(asks)
        for i, rows, text in zip(own, shown, written(prompts, kit, "generate"), strict=True):
            if text:
                found[i] = Child(asks[i], name, self.kind, text, None, tuple(row.id for row in rows))
        return found

    def _shown(self, ask: Ask, kit: Kit, name: str) -> list[Draft]:
        """The asked row and others of its label, by key."""
        draw = Draw(kit.seed, name, ask.name, ask.copy)
        others = [row for row in kit.by_label.get(ask.label, []) if ask.row is None or row.id != ask.row.id]
        order = draw.ranked(len(others), "shots") if len(others) < 1000 else self._few(draw, len(others))
        first = [] if ask.row is None else [ask.row]
        return [*first, *(others[i] for i in order)][: self.shots]

    def _few(self, draw: Draw, n: int) -> list[int]:
        """A few different places of many, without ranking all."""
        return list(dict.fromkeys(draw.below(n, "shot", k) for k in range(2 * self.shots)))

    def _prompt(self, label: str, rows: Sequence[Draft], own: bool, copy: int) -> str:
        task, examples, end = CHINESE if own else ENGLISH
        meaning = self.labels.get(label, "")
        said = {
            "{domain}": (f"（{self.domain}）" if own else f" ({self.domain})") if self.domain else "",
            "{label}": f"“{label}”" if own else f'"{label}"',
            "{meaning}": (f"（{meaning}）" if own else f" ({meaning})") if meaning else "",
        }
        for field_, value in said.items():
            task = task.replace(field_, value)
        parts = [task, *([examples, *(f"- {' '.join(row.text.split())}" for row in rows)] if rows else []), end]
        return "\n".join(parts) + (f" ({copy + 1})" if copy and not rows else "")
