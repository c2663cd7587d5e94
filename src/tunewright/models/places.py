"""How many tokens a model was made for, and how many are left beside virtual ones."""

from __future__ import annotations

from typing import Any

from tunewright.core.errors import Problem, RecipeError

_LEAST = 8  # tokens of an input, at least


def places(model: Any) -> int | None:
    """How many positions the model was made for; None where its positions have no end."""
    config = model.config
    found = getattr(config, "max_position_embeddings", None)
    if not found:
        return None
    return int(found) - (config.pad_token_id + 1 if config.model_type in ("roberta", "xlm-roberta", "camembert") else 0)


def room(model: Any, limit: int, taken: int) -> int:
    """Tokens of an input, `limit` at most, where so many places of the model's context hold something else.

    Raises:
        RecipeError: too few are left.
    """
    found = places(model)
    if not taken or found is None:
        return limit
    if taken > found - _LEAST:
        raise RecipeError(
            Problem(where="adaptation", found=f"{taken:,} virtual tokens",
                    allowed=f"1 to {max(found - _LEAST, 1)}: the model has {found} places in all, for the texts too",
                    to_do="choose 5 to 100")
        )  # fmt: skip
    return min(limit, found - taken)
