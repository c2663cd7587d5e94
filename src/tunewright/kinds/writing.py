"""How replies are written: the recipe's generation, the items that are chosen for it, the texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from tunewright.core.seeds import key
from tunewright.encoding import Example
from tunewright.models.forward import ModelForward
from tunewright.models.generation import Generated, Prompt, generate
from tunewright.models.loading import Loaded
from tunewright.models.options import Generation
from tunewright.recipe import GenerationPart, Recipe


@dataclass(frozen=True)
class Writing:
    """`options` of the engine, at most so many `items` of a split, and the `seed` of draws and choices."""

    options: Generation
    items: int | None
    seed: int

    @classmethod
    def of(cls, recipe: Recipe | None) -> Self:
        """As the recipe says; greedy where it says nothing."""
        part = recipe.generation if recipe is not None and recipe.generation is not None else GenerationPart()
        values = part.model_dump()
        items = values.pop("items")
        return cls(Generation(**values), items, 0 if recipe is None else recipe.seed)

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> Self:
        """As `card` wrote it beside a model."""
        options = dict(card.get("generation") or {})
        options["stop"] = tuple(options.get("stop", ()))
        return cls(Generation(**options), None, int(card.get("seed", 0)))

    def card(self) -> dict[str, Any]:
        """What is saved beside a model."""
        return {"generation": asdict(self.options), "seed": self.seed}

    def chosen(self, ids: Sequence[str]) -> set[str]:
        """Which items are written to: by keyed hash, so that all contenders and runs choose alike."""
        if self.items is None or len(ids) <= self.items:
            return set(ids)
        return set(sorted(ids, key=lambda i: key("generation", i))[: self.items])

    def write(
        self,
        forward: ModelForward,
        loaded: Loaded,
        prompts: Sequence[Example],
        end: Sequence[int],
        between: Callable[[], None] | None,
    ) -> list[Generated]:
        """A text to each prompt, in their order."""
        return generate(
            forward.model, [Prompt(p.id, p.tokens) for p in prompts], self.options, seed=self.seed,
            tokenizer=loaded.tokenizer, end=end, precision=forward.precision, between=between,
        )  # fmt: skip
