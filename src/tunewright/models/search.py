"""From scores to tokens, for many texts at once: greedy, drawn or by beams, after the rules.

Axes: N texts, W beams of each, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from tunewright.models.beams import Beams
from tunewright.models.options import Generation
from tunewright.models.sampling import Draw, History, Rules, best
from tunewright.models.stops import Texts


@dataclass
class Item:
    """One prompt at work. `place`: which of the prompts. `past`: what penalties look back on."""

    place: int
    id: str
    prompt: Tensor
    past: Tensor
    room: int
    tokens: list[int] = field(default_factory=list)
    seconds: float = 0.0
    done: bool = False


class Search:
    """Scores in, tokens out: greedy, drawn or by beams, after the rules. `tokens`, `parents` (N, W) are the latest."""

    def __init__(
        self, options: Generation, seed: int, end: Sequence[int], room: int, texts: Texts,
        forced: tuple[int | None, int | None], device: torch.device,
    ) -> None:  # fmt: skip
        self.rules = Rules(options.repetition_penalty, options.no_repeat_ngram)
        self.history = History(device)
        self.forced_first, self.forced_last = forced
        self.texts, self.room, self.items = texts, room, list[Item]()
        self.end, self.width = frozenset(end), options.width
        self.draw = None
        if options.method == "sampling":
            self.draw = Draw(seed, options.temperature, options.top_k, options.top_p)
        self.beams = Beams(options.beams, options.length_penalty, end, room, device) if options.width > 1 else None
        self.tokens = torch.zeros(0, self.width, dtype=torch.int64, device=device)
        self.parents: Tensor | None = None

    def extend(self, items: Sequence[Item]) -> None:
        """New texts behind the others."""
        self.items += items
        if self.rules.look_back:
            self.history.extend([item.past for item in items for _ in range(self.width)], self.room)
        if self.beams is not None:
            self.beams.extend([item.room for item in items])

    def advance(self, first: int, scores: Tensor) -> None:
        """The next tokens of the texts from `first` on, by their scores (n W, V), or (n, V) where they are new."""
        if self.beams is not None:
            self._beams(self.beams, first, scores)
            return
        items = self.items[first:]
        if self.rules.look_back or self.draw is not None:
            scores = scores.float()
        scores = self._forced(self.rules(scores, self.history, first), items)
        chosen = best(scores) if self.draw is None else self.draw(scores, [(i.id, len(i.tokens)) for i in items])
        if self.rules.look_back:
            self.history.append(first, chosen)
        self.tokens = torch.cat([self.tokens[:first], chosen[:, None]]) if first else chosen[:, None]
        for item, token in zip(items, chosen.tolist(), strict=True):
            item.tokens.append(token)
            item.done = token in self.end or len(item.tokens) >= item.room or self.texts.stops(item.tokens)

    def _beams(self, beams: Beams, first: int, scores: Tensor) -> None:
        items = self.items[first:]
        logs = torch.log_softmax(scores.float(), -1)
        if len(logs) < len(items) * self.width:  # all beams of a new text are equal
            logs = logs.repeat_interleave(self.width, 0)
        logs = self.rules(logs, self.history, first * self.width)
        logs = self._forced(logs, [item for item in items for _ in range(self.width)])
        done = beams.advance(first, logs, self._stops if self.texts.stop else None)
        if self.rules.look_back:
            rows = torch.arange(first, len(self.items), device=logs.device)[:, None] * self.width
            self.history.append(
                first * self.width, beams.tokens[first:].reshape(-1), (rows + beams.parents[first:]).reshape(-1)
            )
        self.tokens, self.parents = beams.tokens, beams.parents
        for item, is_done in zip(items, done.tolist(), strict=True):
            item.tokens.append(0)  # counts the steps
            item.done = is_done

    def _stops(self, text: int, tokens: list[int]) -> bool:
        return self.texts.stops(tokens)

    def _forced(self, scores: Tensor, items: Sequence[Item]) -> Tensor:
        """Some encoder-decoders have a first token (a language) or a last one that is not theirs to choose."""
        for token, rows in (
            (self.forced_first, [row for row, item in enumerate(items) if not item.tokens]),
            (self.forced_last, [row for row, item in enumerate(items) if len(item.tokens) == item.room - 1]),
        ):
            if token is not None and rows:
                scores = scores.clone()
                scores[rows] = float("-inf")
                scores[rows, token] = 0.0
        return scores

    def keep(self, order: Sequence[int]) -> None:
        """Text `order[i]` goes on in place i."""
        picked = torch.tensor(list(order), dtype=torch.int64, device=self.tokens.device)
        self.items = [self.items[i] for i in order]
        self.tokens = self.tokens[picked]
        if self.rules.look_back:
            rows = picked[:, None] * self.width + torch.arange(self.width, device=picked.device)
            self.history.keep(rows.reshape(-1))
        if self.beams is not None:
            self.beams.keep(picked)
            self.parents = self.beams.parents

    def result(self, row: int) -> list[int]:
        """The tokens of a text, its end token included."""
        return self.items[row].tokens if self.beams is None else self.beams.result(row)
