"""Which token comes next: penalties, filters, and a choice that is the best token or a draw keyed by item and step.

Axes: R rows, V vocabulary, L tokens so far (each row's own number of them, the rest is filling).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tunewright.core.seeds import uniform


class History:
    """The tokens of each row so far, prompt included, for what looks back; (R, room) with `sizes` (R,)."""

    def __init__(self, device: torch.device) -> None:
        self.tokens = torch.zeros(0, 1, dtype=torch.int64, device=device)
        self.sizes = torch.zeros(0, dtype=torch.int64, device=device)

    def extend(self, prompts: Sequence[Tensor], room: int) -> None:
        """New rows, each with room for `room` more tokens."""
        longest = max([self.tokens.shape[1], *(len(p) + room for p in prompts)])
        grown = self.tokens.new_zeros(len(self.sizes) + len(prompts), longest)
        grown[: len(self.sizes)] = self.tokens[:, :1]
        grown[: len(self.sizes), : self.tokens.shape[1]] = self.tokens
        for row, prompt in enumerate(prompts, len(self.sizes)):
            grown[row] = prompt[0]  # filling that changes nothing: this token is there anyway
            grown[row, : len(prompt)] = prompt
        sizes = torch.tensor([len(p) for p in prompts], dtype=torch.int64, device=self.sizes.device)
        self.tokens, self.sizes = grown, torch.cat([self.sizes, sizes])

    def append(self, first: int, tokens: Tensor, parents: Tensor | None = None) -> None:
        """One token to each of the rows from `first` on; `parents` (R - first,) are the rows whose past they take."""
        if parents is not None:
            self.tokens[first:] = self.tokens[parents]
        rows = torch.arange(first, len(self.sizes), device=tokens.device)
        self.tokens[rows, self.sizes[first:]] = tokens
        self.sizes[first:] += 1

    def keep(self, rows: Tensor) -> None:
        """Row `rows[i]` becomes row i."""
        self.tokens, self.sizes = self.tokens[rows], self.sizes[rows]


@dataclass(frozen=True)
class Rules:
    """What changes the scores before a choice, for all methods; scores (R, V) float32 of the rows from `first` on.

    repetition: scores of tokens that came before are divided by it where positive and multiplied where negative
    (Keskar et al. 2019, arXiv:1909.05858). ngram: no run of so many tokens comes twice; 0 for no such rule.
    """

    repetition: float = 1.0
    ngram: int = 0

    @property
    def look_back(self) -> bool:
        """Whether a history is needed."""
        return self.repetition != 1.0 or self.ngram > 0

    def __call__(self, scores: Tensor, history: History, first: int) -> Tensor:
        """New scores; -inf where a token is forbidden."""
        if not self.look_back:
            return scores
        past, sizes = history.tokens[first:], history.sizes[first:]
        past = past[:, : int(sizes.max())]
        if self.repetition != 1.0:
            found = scores.gather(1, past)
            found = torch.where(found < 0, found * self.repetition, found / self.repetition)
            scores = scores.scatter(1, past, found)
        return self._unrepeated(scores, past, sizes) if self.ngram else scores

    def _unrepeated(self, scores: Tensor, past: Tensor, sizes: Tensor) -> Tensor:
        n = self.ngram
        if past.shape[1] < n:
            return scores
        back = torch.arange(1 - n, 0, device=past.device)
        ends = past.gather(1, (sizes[:, None] + back).clamp(min=0))  # (R, n - 1) what the next token would end
        windows = past.unfold(1, n, 1)  # (R, L - n + 1, n)
        starts = torch.arange(windows.shape[1], device=past.device)
        again = (windows[..., :-1] == ends[:, None]).all(-1) & (starts + n <= sizes[:, None])
        forbidden = torch.zeros_like(scores, dtype=torch.int64).scatter_add(1, windows[..., -1], again.long()) > 0
        return scores.masked_fill(forbidden, float("-inf"))


def best(scores: Tensor) -> Tensor:
    """scores (R, V) -> tokens (R,), the first of equals. On a CPU through NumPy, whose search is 10 times as fast."""
    if scores.device.type != "cpu":
        return scores.argmax(-1)
    wide = scores if scores.dtype == torch.float64 else scores.float()
    return torch.from_numpy(wide.numpy().argmax(-1))


@dataclass(frozen=True)
class Draw:
    """Samples from the scores at a temperature, cut to the `top_k` best and the fewest that hold `top_p` of the mass.

    Holtzman et al. 2020, arXiv:1904.09751. The random number is a hash of seed, item and step, and the tokens stand in
    the vocabulary's order on the line that it falls on; so a draw depends on nothing but the item's own scores.
    """

    seed: int
    temperature: float
    top_k: int
    top_p: float

    def __call__(self, scores: Tensor, items: Sequence[tuple[str, int]]) -> Tensor:
        """scores (R, V) of the `items`' ids and steps -> tokens (R,)."""
        scores = scores / self.temperature
        if 0 < self.top_k < scores.shape[1]:
            least = torch.topk(scores, self.top_k).values[:, -1:]
            scores = scores.masked_fill(scores < least, float("-inf"))
        if self.top_p < 1.0:
            scores = self._nucleus(scores)
        sums = torch.softmax(scores, -1, dtype=torch.float64).cumsum(-1)
        points = [uniform(self.seed, "generation", i, step) for i, step in items]
        wanted = torch.tensor(points, dtype=torch.float64, device=scores.device)[:, None] * sums[:, -1:]
        chosen = torch.searchsorted(sums, wanted, right=True)[:, 0]
        last = torch.where(torch.isfinite(scores), torch.arange(scores.shape[1], device=scores.device), -1).amax(-1)
        return torch.minimum(chosen, last)  # a sum that rounding left short must not reach a forbidden token

    def _nucleus(self, scores: Tensor) -> Tensor:
        ordered, places = torch.sort(scores, descending=False)
        out = ordered.softmax(-1).cumsum(-1) <= 1 - self.top_p
        out[:, -1] = False
        return scores.masked_fill(torch.zeros_like(out).scatter(1, places, out), float("-inf"))
