"""A tuned model, opened again: texts in, answers out: a label, a set of labels, or numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunewright.core.errors import DataError, Problem, RunDamaged
from tunewright.core.records import Record, Source
from tunewright.encoding import encode
from tunewright.fitting import opened
from tunewright.models.loading import tokenizing
from tunewright.models.saving import Saved, open_saved
from tunewright.models.scoring import score


@dataclass(frozen=True)
class Prediction:
    """What the model says of one text: the label, its probability, and every label's probability."""

    label: str
    probability: float
    scores: dict[str, float]

    def as_json(self) -> dict[str, Any]:
        """The prediction as plain values."""
        return {"label": self.label, "probability": self.probability, "scores": self.scores}

    def cells(self) -> list[str]:
        """The prediction as the cells of a table, as `Predictor.columns` names them."""
        return [self.label, f"{self.probability:.6f}", *(f"{x:.6f}" for x in self.scores.values())]


@dataclass(frozen=True)
class LabelsPrediction:
    """What a multi-label model says of one text: the labels it has, and every label's own probability."""

    labels: tuple[str, ...]
    scores: dict[str, float]

    def as_json(self) -> dict[str, Any]:
        """The prediction as plain values."""
        return {"labels": list(self.labels), "scores": self.scores}

    def cells(self) -> list[str]:
        """As `Prediction.cells`; the labels as a JSON list."""
        return [json.dumps(self.labels, ensure_ascii=False), *(f"{x:.6f}" for x in self.scores.values())]


@dataclass(frozen=True)
class NumbersPrediction:
    """What a regression says of one text: a number for each target, in the target's own unit."""

    values: dict[str, float]

    @property
    def value(self) -> float:
        """The first target's number."""
        return next(iter(self.values.values()))

    def as_json(self) -> dict[str, Any]:
        """The prediction as plain values."""
        return {"values": self.values}

    def cells(self) -> list[str]:
        """As `Prediction.cells`."""
        return [f"{x:.6g}" for x in self.values.values()]


Answer = Prediction | LabelsPrediction | NumbersPrediction


class Predictor:
    """A tuned model ready to answer. Made by `load`."""

    def __init__(self, saved: Saved) -> None:
        self.saved = saved
        self.labels = saved.labels
        self.bound, self._forward = opened(saved)
        self._tokenize = tokenizing(saved.tokenizer)
        self._limit = int(saved.card.get("max_tokens") or saved.limit)

    @property
    def columns(self) -> list[str]:
        """The names of a table's columns for `cells`."""
        kind = self.bound.task.fits
        if kind == "numbers":
            return list(self.labels)
        first = ["label", "probability"] if kind == "classes" else ["labels"]
        return [*first, *(f"p_{label}" for label in self.labels)]

    def predict(self, texts: str | Sequence[str], pairs: Sequence[str] | None = None) -> list[Answer]:
        """One prediction a text, in the order given.

        Args:
            texts: one text or several.
            pairs: the second text of each, for a model that was tuned on pairs.

        Raises:
            DataError: something that is no text, or texts and pairs of different number.
        """
        texts = [texts] if isinstance(texts, str) else list(texts)
        problems = [
            Problem(where=f"text {i + 1}", found=f"{type(text).__name__}", allowed="a text")
            for i, text in enumerate(texts)
            if not isinstance(text, str)
        ]
        if (pairs is None) == bool(self.saved.card.get("pair")):
            wants = "two texts a row" if pairs is None else "one text a row"
            problems.append(
                Problem(
                    where="pairs",
                    found="none" if pairs is None else "given",
                    allowed=f"this model was tuned on {wants}",
                )
            )
        if pairs is not None and len(pairs) != len(texts):
            problems.append(Problem(where="pairs", found=f"{len(pairs)}", allowed=f"{len(texts)}, one for each text"))
        if problems:
            raise DataError(*problems[:20])
        second: Sequence[str | None] = [None] * len(texts) if pairs is None else list(pairs)
        records = [
            Record(str(i), text, None, Source("", i), pair)
            for i, (text, pair) in enumerate(zip(texts, second, strict=True))
        ]
        examples = encode(records, self._tokenize, self.bound.target, self._limit)
        scores, _ = score(self._forward, examples, activation=self.bound.task.activation)
        return [self._one(row) for row in scores]

    def _one(self, row: Any) -> Answer:
        named = {n: float(x) for n, x in zip(self.labels, row, strict=True)}
        if self.bound.task.fits == "numbers":
            return NumbersPrediction(named)
        if self.bound.task.fits == "labels":
            has = self.bound.has(row)
            return LabelsPrediction(tuple(n for n, yes in zip(self.labels, has, strict=True) if yes), named)
        best = int(row.argmax())
        return Prediction(self.labels[best], float(row[best]), named)


def load(folder: str | Path) -> Predictor:
    """The tuned model of a run folder, or of a folder that holds a saved model.

    Raises:
        RunDamaged: there is no tuned model, or its files were changed. ModelError: an adapter's base is gone.
    """
    path = Path(folder)
    if (path / "model").is_dir() or (path / "run.json").exists():
        path = path / "model"
    if not path.is_dir():
        raise RunDamaged(
            Problem(where=str(folder), found="no tuned model is here", allowed="a run folder that has finished training",
                    to_do="`tunewright run RECIPE` makes one; `tunewright runs` lists them")
        )  # fmt: skip
    return Predictor(open_saved(path))
