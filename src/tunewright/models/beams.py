"""Beam search over many texts at once, each for itself; the same as transformers' with `early_stopping=False`.

A candidate that ends a text competes, with its score divided by length ** length_penalty, for the text's `W` best
finished ones; W unfinished ones go on. A text is done when the best unfinished one could not beat the worst finished
one at its present length, or where no more tokens may follow. Axes: N texts, W beams, V vocabulary, C candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

NEVER = -1.0e9  # what transformers adds to scores that must not win


class Beams:
    """The state of N texts' searches.

    Args:
        width: W.
        penalty: the exponent of the length.
        end: tokens that end a text.
        room: the most tokens that any text may get.
    """

    def __init__(self, width: int, penalty: float, end: Sequence[int], room: int, device: torch.device) -> None:
        self.width, self.penalty, self.room, self.device = width, penalty, room, device
        self.end = torch.tensor(list(end), dtype=torch.int64, device=device)
        self.candidates = max(2, 1 + len(end)) * width
        self.tokens = torch.zeros(0, width, dtype=torch.int64, device=device)  # chosen last
        self.parents = torch.zeros(0, width, dtype=torch.int64, device=device)  # the beams that they follow
        self.running = torch.zeros(0, width, room, dtype=torch.int64, device=device)
        self.scores = torch.zeros(0, width, device=device)
        self.finished = self.running.clone()
        self.sizes = torch.zeros(0, width, dtype=torch.int64, device=device)
        self.best = torch.zeros(0, width, device=device)
        self.ended = torch.zeros(0, width, dtype=torch.bool, device=device)
        self.open = torch.zeros(0, dtype=torch.bool, device=device)  # could still get better
        self.steps = torch.zeros(0, dtype=torch.int64, device=device)
        self.rooms = torch.zeros(0, dtype=torch.int64, device=device)

    _STATE = ("tokens", "parents", "running", "scores", "finished", "sizes", "best", "ended", "open", "steps", "rooms")

    def extend(self, rooms: Sequence[int]) -> None:
        """New texts, with at most `rooms` tokens each."""
        n, w = len(rooms), self.width
        scores = torch.full((n, w), NEVER)
        scores[:, 0] = 0.0  # all beams are equal at first: only one may go on
        fresh = {
            "tokens": torch.zeros(n, w), "parents": torch.zeros(n, w), "running": torch.zeros(n, w, self.room),
            "scores": scores, "finished": torch.zeros(n, w, self.room), "sizes": torch.zeros(n, w),
            "best": torch.full((n, w), NEVER), "ended": torch.zeros(n, w), "open": torch.ones(n),
            "steps": torch.zeros(n), "rooms": torch.tensor(list(rooms)),
        }  # fmt: skip
        for name, value in fresh.items():
            old: Tensor = getattr(self, name)
            setattr(self, name, torch.cat([old, value.to(old)]))

    def keep(self, order: Tensor) -> None:
        """Text `order[i]` becomes text i; those not named leave."""
        for name in self._STATE:
            setattr(self, name, getattr(self, name)[order])

    def advance(self, first: int, logs: Tensor, stops: Callable[[int, list[int]], bool] | None = None) -> Tensor:
        """One step of the texts from `first` on: log-probabilities (n W, V) -> which of them are done (n,).

        `stops(text, tokens)` says whether a candidate ends for another reason than its last token.
        """
        rows, w, vocabulary = slice(first, None), self.width, logs.shape[1]
        n = len(logs) // w
        sums = (logs.view(n, w, vocabulary) + self.scores[rows, :, None]).view(n, -1)
        values, places = torch.topk(sums, self.candidates)
        beams, tokens = places // vocabulary, places % vocabulary
        texts = torch.arange(n, device=self.device)[:, None]
        steps = self.steps[rows]
        sequences = self.running[rows][texts, beams]  # (n, C, room)
        sequences.scatter_(2, steps[:, None, None].expand(n, self.candidates, 1), tokens[..., None])
        hits = torch.isin(tokens, self.end) | (steps + 1 >= self.rooms[rows])[:, None]
        if stops is not None:
            hits |= _stopped(first, sequences, steps, stops)
        scores, picked = torch.topk(values + hits * NEVER, w)
        self.running[rows], self.scores[rows] = sequences[texts, picked], scores
        self.tokens[rows], self.parents[rows] = tokens[texts, picked], beams[texts, picked]
        self._finish(rows, sequences, values, hits)
        self.steps[rows] += 1
        hopes = scores[:, :1] / self._length(self.steps[rows])
        worst = torch.where(self.ended[rows], self.best[rows].amin(1, keepdim=True), NEVER)
        self.open[rows] &= (hopes > worst).any(1)
        return ~self.open[rows] | hits.all(1)

    def _length(self, sizes: Tensor) -> Tensor:
        return (sizes.double() ** self.penalty).float()[:, None]

    def _finish(self, rows: slice, sequences: Tensor, values: Tensor, hits: Tensor) -> None:
        """Lets the candidates that ended compete with those that ended before."""
        w, texts = self.width, torch.arange(len(values), device=self.device)[:, None]
        steps = self.steps[rows]
        ends = hits.clone()
        ends[:, w:] = False  # those behind the W best only keep the search going
        values = values / self._length(steps + 1)
        values = values + ~self.open[rows, None] * NEVER + ~ends * NEVER
        scores, order = torch.topk(torch.cat([self.best[rows], values], 1), w)
        sizes = torch.cat([self.sizes[rows], (steps + 1)[:, None].expand_as(values)], 1)
        self.finished[rows] = torch.cat([self.finished[rows], sequences], 1)[texts, order]
        self.ended[rows] = torch.cat([self.ended[rows], ends], 1)[texts, order]
        self.sizes[rows], self.best[rows] = sizes[texts, order], scores

    def result(self, text: int) -> list[int]:
        """The best finished tokens of a text, its end token included."""
        found: list[int] = self.finished[text, 0, : int(self.sizes[text, 0])].tolist()
        return found


def _stopped(first: int, sequences: Tensor, steps: Tensor, stops: Callable[[int, list[int]], bool]) -> Tensor:
    """(n, C) which candidates `stops` ends."""
    return torch.tensor(
        [
            [stops(first + text, tokens[: step + 1]) for tokens in candidates]
            for text, (candidates, step) in enumerate(zip(sequences.tolist(), steps.tolist(), strict=True))
        ],
        device=sequences.device,
    )
