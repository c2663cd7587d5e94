"""Where in a model a parameter lies, told by its name.

Layers are counted from 0 at the embeddings; a parameter's layer is the first number in its name
(`bert.encoder.layer.3.output.dense.weight` is of layer 3). An encoder-decoder's two sides are counted side by side.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_EMBEDDING = re.compile(r"embed|\bwte\b|\bwpe\b|\bshared\b")
_LAYER = re.compile(r"\.(\d+)\.")


def layer_of(name: str) -> int | None:
    """The layer that a parameter's name says it belongs to; None for embeddings, head and what else is in no layer."""
    found = _LAYER.search(name)
    return int(found.group(1)) if found else None


def is_embedding(name: str) -> bool:
    """Whether a parameter belongs to the embeddings before the first layer."""
    return layer_of(name) is None and bool(_EMBEDDING.search(name))


def depth(names: Iterable[str]) -> int:
    """How many layers the names speak of."""
    return 1 + max((n for n in map(layer_of, names) if n is not None), default=-1)


def below_top(name: str, layers: int) -> int:
    """How far below the head a parameter lies: the head 0, the top layer 1, the embeddings one more than `layers`."""
    layer = layer_of(name)
    if layer is None:
        return layers + 1 if is_embedding(name) else 0
    return layers - layer
