"""What samplers draw from: examples with their classes, lengths, and what was measured of their records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tunewright.core import registry
from tunewright.core.errors import Problem, RecipeError
from tunewright.core.records import Record
from tunewright.core.tensors import Pool
from tunewright.encoding import Example, record_of
from tunewright.kinds.protocol import Kind


def bound_sampler(sampler: Any, kind: Kind, examples: Sequence[Example], records: Sequence[Record], seed: int) -> Any:
    """The sampler that a recipe names, over these examples, which know their records' difficulty.

    Raises:
        RecipeError: they lack what it goes by.
    """
    measured = {record.id: dict(record.difficulty) for record in records}
    rows = [measured.get(record_of(e.id), {}) for e in examples]
    names = set[str]().union(*(row.keys() for row in rows)) if rows else set()
    scores = {name: [row[name] for row in rows] for name in sorted(names) if all(name in row for row in rows)}
    pool = Pool([e.id for e in examples], kind.groups(examples), [len(e) for e in examples], scores)
    try:
        return registry.build("sampler", sampler).bind(pool, seed)
    except ValueError as error:
        raise RecipeError(
            Problem(where="training.sampler", found=str(error),
                    to_do="measure it: `data.steps: [..., {difficulty: [length, rarity]}]`, or choose another sampler")
        ) from error  # fmt: skip
