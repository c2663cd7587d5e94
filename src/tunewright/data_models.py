"""The models that steps of the data side work with, as the recipe names them under `data.models`; opened when first asked.

`encoder` makes vectors of texts, `language` says how likely they are, `writer` writes: a folder or an address.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tunewright.data import NO_MODELS, Models
from tunewright.recipe import Recipe


def models_of(recipe: Recipe, base: Path) -> Models:
    """What the recipe names; paths are relative to `base`.

    A name that leads nowhere is told when a step first asks.
    """
    asked = recipe.data.models
    if asked is None:
        return NO_MODELS
    return Models(
        encode=None if asked.encoder is None else _late(lambda: _encoder(asked.encoder or "", base)),
        write=None if asked.writer is None else _late(lambda: _writer(asked.writer, base)),
        perplexity=None if asked.language is None else _late(lambda: _perplexity(asked.language or "", base)),
        loss=None if asked.language is None else _late(lambda: _losses(asked.language or "", base)),
    )


def _late(make: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
    """A function over texts that is made at its first call."""
    made = cache(make)

    def late(*texts: Sequence[str]) -> Any:
        return made()(*texts)

    return late


def _encoder(name: str, base: Path) -> Callable[[Sequence[str]], Any]:
    from tunewright.models.embedding import encoder

    return encoder(name, base)


def _writer(given: Any, base: Path) -> Callable[[Sequence[str]], Any]:
    from tunewright.models.writer import writer

    return writer(given, base)


def _perplexity(name: str, base: Path) -> Callable[[Sequence[str]], Any]:
    from tunewright.models.perplexing import perplexity

    return perplexity(name, base)


def _losses(name: str, base: Path) -> Callable[..., Any]:
    from tunewright.models.perplexing import reply_losses

    return reply_losses(name, base)
