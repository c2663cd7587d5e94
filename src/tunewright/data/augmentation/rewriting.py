"""What operators share that have a language model say a text anew: one prompt a text, one pass over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from tunewright.core.errors import Problem, RecipeError
from tunewright.data.augmentation.instructions import answer
from tunewright.data.augmentation.protocol import Ask, Child, Draw, Kind, Kit, Need
from tunewright.data.journal import Draft


class Rewrites:
    """Base of operators that give each text to the language model; of a row with two texts one, chosen by key."""

    kind: ClassVar[Kind] = "rewrite"
    needs: ClassVar[tuple[Need, ...]] = ("write",)

    def rewrite(self, texts: Sequence[str], draws: Sequence[Draw], kit: Kit) -> list[str]:
        """Each text said anew."""
        raise NotImplementedError

    def __call__(self, asks: Sequence[Ask], kit: Kit, name: str) -> list[Child | None]:
        found: list[Child | None] = [None] * len(asks)
        rows: list[tuple[int, Ask, Draft, bool, Draw]] = []
        for i, ask in enumerate(asks):
            if ask.row is not None:
                draw = Draw(kit.seed, name, ask.row.id, ask.copy)
                rows.append((i, ask, ask.row, ask.row.pair is not None and draw.below(2, "side") == 1, draw))
        before = [(row.pair or "") if second else row.text for _, _, row, second, _ in rows]
        after = self.rewrite(before, [draw for *_, draw in rows], kit) if rows else []
        for (i, ask, row, second, _), old, new in zip(rows, before, after, strict=True):
            if new.strip() and new != old:
                texts = (row.text, new) if second else (new, row.pair)
                found[i] = Child(ask, name, self.kind, *texts)
        return found


def written(prompts: Sequence[str], kit: Kit, name: str) -> list[str]:
    """What the language model answers, read.

    Raises:
        RecipeError: none is named.
    """
    if kit.write is None:
        raise RecipeError(
            Problem(where=f"augment.{name}", found="no language model is named",
                    to_do="name one: a folder, or the address of an OpenAI-compatible server and its model")
        )  # fmt: skip
    return [answer(text) for text in kit.write(prompts)] if prompts else []
