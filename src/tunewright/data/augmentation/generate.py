"""Generation: a language model writes new texts for a label, shown a few of train.

After Yoo et al. 2021, "GPT3Mix", and Ye et al. 2022, "ZeroGen", in the order generate, filter, train: what is written goes
through all gates, and the probe must agree with the label. Each ask shows other rows of train (never held-out ones), drawn
by key. For a scarce or unlabelled domain: `domain` says what the texts are, `labels` what each label means, and `style` how many
unlabelled texts are shown for their style; labels that have no row yet can be asked for by a quota. Cost: one answer of the
model a child. Needs a model; refuses without one.
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
           "Texts of the same domain, for their style alone:",
           "Do not copy them; vary the subject and the words. Answer with the new text alone.")  # fmt: skip
CHINESE = ("写一条新的文本{domain}，其标签为{label}{meaning}。", "该标签的例子：",
           "同一领域的文本，仅供参考风格：",
           "不要照抄，换一个内容和说法。只输出新文本。")  # fmt: skip


@register("operator", "generate")
@dataclass(frozen=True)
class Generate:
    """`shots` rows and `style` unlabelled ones are shown an ask; `domain`: what texts are; `labels`: what each means; no pairs."""

    kind: ClassVar[Kind] = "new"
    needs: ClassVar[tuple[Need, ...]] = ("write",)
    shots: Annotated[int, Ge(0)] = 3
    style: Annotated[int, Ge(0)] = 0
    domain: str = ""
    labels: dict[str, str] = field(default_factory=dict, hash=False)

    def __call__(self, asks: Sequence[Ask], kit: Kit, name: str) -> list[Child | None]:
        own = [i for i, ask in enumerate(asks) if ask.row is None or ask.row.pair is None]
        shown = [self._shown(asks[i], kit, name) for i in own]
        alike = sorted(kit.unlabelled, key=lambda row: row.id) if self.style else []
        prompts = []
        for i, rows in zip(own, shown, strict=True):
            draw = Draw(kit.seed, name, asks[i].name, asks[i].copy)
            style = [alike[n] for n in _few(draw, len(alike), self.style, "style")]
            prompts.append(self._prompt(asks[i], rows, style))
        found: list[Child | None] = [None] * len(asks)
        for i, rows, text in zip(own, shown, written(prompts, kit, "generate"), strict=True):
            if text:
                found[i] = Child(asks[i], name, self.kind, text, None, tuple(row.id for row in rows))
        return found

    def _shown(self, ask: Ask, kit: Kit, name: str) -> list[Draft]:
        """The asked row and others of its label, by key."""
        draw = Draw(kit.seed, name, ask.name, ask.copy)
        others = [row for row in kit.by_label.get(ask.label, []) if ask.row is None or row.id != ask.row.id]
        first = [] if ask.row is None else [ask.row]
        return [*first, *(others[n] for n in _few(draw, len(others), self.shots, "shot"))][: self.shots]

    def _prompt(self, ask: Ask, rows: Sequence[Draft], style: Sequence[Draft]) -> str:
        texts = [row.text for row in (*rows, *style)]
        own = chinese(texts or [self.domain, *self.labels.values()])
        task, examples, unlabelled, end = CHINESE if own else ENGLISH
        around = "（{}）" if own else " ({})"
        meaning = self.labels.get(ask.label, "")
        said = {
            "{domain}": around.format(self.domain) if self.domain else "",
            "{label}": f"“{ask.label}”" if own else f'"{ask.label}"',
            "{meaning}": around.format(meaning) if meaning else "",
        }
        for field_, value in said.items():
            task = task.replace(field_, value)
        parts = [task]
        for head, shown in ((examples, rows), (unlabelled, style)):
            parts += [head, *(f"- {' '.join(row.text.split())}" for row in shown)] if shown else []
        return "\n".join([*parts, end]) + (f" ({ask.copy + 1})" if ask.copy and not rows else "")


def _few(draw: Draw, n: int, wanted: int, purpose: str) -> list[int]:
    """`wanted` different places of `n`, or all; of many without ranking each."""
    if n < 1000:
        return draw.ranked(n, purpose)[:wanted]
    return list(dict.fromkeys(draw.below(n, purpose, k) for k in range(2 * wanted)))[:wanted]
