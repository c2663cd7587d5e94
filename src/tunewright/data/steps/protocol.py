"""What a step of the data side is: a frozen dataclass registered in the family "step", whose phase says what it is given.

| phase | is given | hands back |
|---|---|---|
| texts | a batch of texts, of whatever rows | for each an Edit, or None where nothing is to be done |
| labels | all rows with what their annotators said, before conflicts are settled | rows with the label that is believed |
| rows | all labelled rows, before they are split | the rows that stay; may give labels, clusters, weights, flags |
| train | the rows of the train split alone | the rows that are trained on, new ones among them |

A recipe's `data.steps` are applied in their order; a phase that comes before another's may not be named after it. Steps of
the phase "texts" know nothing of other rows and may be run anywhere, in any number of processes. Rows that leave do so
through the journal, with a reason; what a step does depends on the rows' content and the seed, never on their order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tunewright.data.journal import Draft, Journal
from tunewright.data.targets.protocol import Target

Phase = Literal["texts", "labels", "rows", "train"]
PHASES: tuple[Phase, ...] = ("texts", "labels", "rows", "train")
Need = Literal["encode", "write", "perplexity"]

Encode = Callable[[Sequence[str]], NDArray[np.float32]]
"""Texts to vectors (N, D) of length one."""
Write = Callable[[Sequence[str]], list[str]]
"""Prompts to what a language model writes after them, one text a prompt."""
Perplexity = Callable[[Sequence[str]], NDArray[np.float64]]
"""(N,) each text's perplexity a token under a causal language model."""

Loss = Callable[[Sequence[str], Sequence[str]], NDArray[np.float64]]
"""Prompts and replies to the mean of -log p over each reply's tokens (N,), under a causal language model."""


class Edit(NamedTuple):
    """What a step of texts makes of one text: its new form, what was done in words, flags that the row shall bear.

    `refused` is a reason code where the row shall leave ("" where it stays); `detail` then says why.
    """

    text: str
    detail: str = ""
    flags: tuple[str, ...] = ()
    refused: str = ""


@dataclass(frozen=True)
class Models:
    """Models that the recipe names for the data side (`data.models`); None where it names none."""

    encode: Encode | None = None
    write: Write | None = None
    perplexity: Perplexity | None = None
    loss: Loss | None = None


NO_MODELS = Models()


@dataclass
class Room:
    """What a step of rows works with: the book, the kind of answer, the seed, and models that the recipe names.

    A step whose `needs` the recipe does not name is refused when the recipe is read. `held` are the rows of validation and
    test and `unlabelled` those without a label, for steps of train: to be looked at, never to be changed. `found` takes
    what a step found out, by its name, for the card; plain values.
    """

    journal: Journal
    target: Target
    seed: int
    base: Path = Path()
    models: Models = NO_MODELS
    held: Sequence[Draft] = ()
    unlabelled: Sequence[Draft] = ()
    found: dict[str, Any] = field(default_factory=dict)

    @property
    def encode(self) -> Encode | None:
        return self.models.encode

    @property
    def write(self) -> Write | None:
        return self.models.write

    @property
    def perplexity(self) -> Perplexity | None:
        return self.models.perplexity


@runtime_checkable
class TextStep(Protocol):
    """A step over batches of texts. `reason` is the ledger's code for a text that it changed."""

    phase: ClassVar[Phase] = "texts"
    reason: ClassVar[str]

    def __call__(self, texts: Sequence[str]) -> Sequence[Edit | None]:
        """As many as there are texts, in their order; an Edit whose text is the old one changes nothing but flags."""
        ...


@runtime_checkable
class RowStep(Protocol):
    """A step over all rows, or over those of train. Closes its stage in the journal."""

    phase: ClassVar[Phase]
    needs: ClassVar[tuple[Need, ...]] = ()

    def __call__(self, drafts: list[Draft], room: Room) -> list[Draft]: ...


Described = Mapping[str, tuple[str, str]]
"""Reason codes with what they are called in the card and what was done: `{"html": ("HTML in the text", "removed")}`."""
