"""What the objectives of preferences share: the log-probability of a reply, and sums over examples.

Axes: U supervised tokens, B examples, S sequences (S = 2B for pairs: 2i is the chosen, 2i + 1 the rejected reply).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tunewright.core.errors import Problem, RecipeError
from tunewright.core.tensors import Batch, Decoder, Forward, Term, Unit


def log_probabilities(forward: Forward, batch: Batch) -> tuple[Tensor, Tensor]:
    """(S,) sum of log p over each sequence's supervised tokens, and (S,) how many these are, 1 where there is none.

    Raises:
        RecipeError: the batch is for a model that gives a sequence one score.
    """
    if batch.unit != "token":
        raise RecipeError(
            Problem(where="objective", found="an objective of replies' probabilities, for a model that gives rewards",
                    allowed="bradley_terry", to_do="set objective: bradley_terry, or task: preference")
        )  # fmt: skip
    losses, owners = forward.losses(batch), batch.sequences()
    n = len(batch.ids) * batch.sides
    sums = losses.new_zeros(n).index_add(0, owners, -losses)
    return sums, torch.bincount(owners, minlength=n).clamp(min=1).to(sums.dtype)


def reference(batch: Batch, like: Tensor) -> Tensor:
    """(S,) what the reference model gives the same sequences: sums of log p, without a gradient.

    Raises:
        ValueError: the batch has none.
    """
    if "reference" not in batch.given:
        raise ValueError("this objective compares with a reference model, and the batch has no given['reference']")
    return batch.given["reference"].detach().to(like)


@dataclass(frozen=True)
class Pairs:
    """What a policy makes of pairs; every tensor is (B,): sums of log p, and how many tokens they are over."""

    chosen: Tensor
    rejected: Tensor
    chosen_tokens: Tensor
    rejected_tokens: Tensor

    @classmethod
    def of(cls, forward: Forward, batch: Batch) -> Pairs:
        """The pairs of a batch with two sides.

        Raises:
            RecipeError: the batch has replies that are good or bad by themselves.
        """
        if batch.sides != 2 or "good" in batch.given:
            raise RecipeError(
                Problem(where="objective", found="an objective of pairs, for replies that are good or bad by themselves",
                        allowed="kto", to_do="set objective: kto, or give data with a chosen and a rejected reply")
            )  # fmt: skip
        sums, tokens = log_probabilities(forward, batch)
        return cls(sums[0::2], sums[1::2], tokens[0::2], tokens[1::2])

    def against(self, reference: Tensor) -> Pairs:
        """Log-ratios in place of log-probabilities: policy over reference (S,)."""
        return replace(self, chosen=self.chosen - reference[0::2], rejected=self.rejected - reference[1::2])

    def per_token(self) -> Pairs:
        """Means over tokens in place of sums."""
        return replace(self, chosen=self.chosen / self.chosen_tokens, rejected=self.rejected / self.rejected_tokens)


def shares(batch: Batch, like: Tensor) -> Tensor:
    """(B,) each example's factor: the mean of its units' weights; 0 where nothing of it is supervised."""
    owners, n = batch.owners(), len(batch.ids)
    counts = torch.bincount(owners, minlength=n)
    if batch.weights is None:
        return (counts > 0).to(like)
    return like.new_zeros(n).index_add_(0, owners, batch.weights.to(like)) / counts.clamp(min=1)


def of_examples(
    name: str, losses: Tensor, batch: Batch, unit: Unit, *, scale: float = 1.0, watched: bool = False
) -> Term:
    """The term of `losses` (B,), a number an example; an example without a supervised unit counts nothing."""
    losses = losses * shares(batch, losses.detach())
    return Term(name, losses.sum(), unit, scale, losses.detach(), watched)


def watched(batch: Batch, unit: Unit, margins: Tensor, **more: Tensor) -> tuple[Term, ...]:
    """What is reported beside the loss: the share of margins (B,) above 0 (a tie is half), their mean, and `more`."""
    margins = margins.detach()
    right = (margins > 0).to(margins.dtype) + 0.5 * (margins == 0).to(margins.dtype)
    reported: Mapping[str, Tensor] = {"reward_accuracy": right, "margin": margins, **more}
    return tuple(of_examples(name, values, batch, unit, watched=True) for name, values in reported.items())


def one_side(batch: Batch, side: int) -> Batch:
    """The sequences of one side as a batch of their own."""

    def kept(lengths: tuple[int, ...]) -> Tensor:
        sequences = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))
        return (sequences % batch.sides == side).to(batch.tokens.device)

    tokens = kept(batch.lengths)
    decoder, places = batch.decoder, tokens
    if decoder is not None:
        places = kept(decoder.lengths)
        decoder = Decoder(decoder.tokens[places], decoder.lengths[side :: batch.sides])
    units = batch.sequences() % batch.sides == side
    size = len(batch.ids) * batch.sides
    return replace(
        batch,
        tokens=batch.tokens[tokens],
        lengths=batch.lengths[side :: batch.sides],
        targets=batch.targets[units],
        positions=(places.cumsum(0) - 1)[batch.positions[units]],
        types=None if batch.types is None else batch.types[tokens],
        weights=None if batch.weights is None else batch.weights[units],
        sides=1,
        decoder=decoder,
        given={n: v[side :: batch.sides] if len(v) == size else v for n, v in batch.given.items()},
    )
