"""A tuned model, opened again: texts in, answers out: a label, a set of labels, or numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tunewright.core.errors import DataError, Problem, RecipeError, RunDamaged, closest, listed
from tunewright.core.records import Record, Source
from tunewright.fitting import opened
from tunewright.kinds import Answer, LabelsPrediction, NumbersPrediction, Prediction
from tunewright.models.foreign import open_model
from tunewright.models.saving import Saved

__all__ = ["Answer", "LabelsPrediction", "NumbersPrediction", "Prediction", "Predictor", "load"]


class Predictor:
    """A tuned model ready to answer. Made by `load`."""

    def __init__(self, saved: Saved) -> None:
        self.saved = saved
        self.labels = saved.labels
        self.kind, self._forward = opened(saved)

    @property
    def columns(self) -> list[str]:
        """The names of a table's columns for `cells`."""
        return list(self.kind.columns)

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
        return self.kind.answers(self._forward, records)


def load(folder: str | Path, task: str = "", labels: Sequence[str] = ()) -> Predictor:
    """The tuned model of a run folder, or of a folder that holds a saved model; of a run of several tasks, that of `task`.

    Args:
        labels: for an adapter that plain peft saved, the names of its scores in their order.

    Raises:
        RunDamaged: there is no tuned model, or its files were changed. ModelError: an adapter's base is gone.
        RecipeError: the run is of several tasks and has none of that name, or it is of one and a task is named.
    """
    path = part_of(Path(folder), task)
    if (path / "model").is_dir() or (path / "run.json").exists():
        path = path / "model"
    if not path.is_dir():
        raise RunDamaged(
            Problem(where=str(folder), found="no tuned model is here", allowed="a run folder that has finished training",
                    to_do="`tunewright run RECIPE` makes one; `tunewright runs` lists them")
        )  # fmt: skip
    return Predictor(open_model(path, labels))


def part_of(folder: Path, task: str = "") -> Path:
    """The folder of one task in a run of several; the folder itself where the run is of one.

    Raises:
        RecipeError: a task must be named and is not, or there is none of that name.
    """
    names = sorted(path.parent.name for path in (folder / "tasks").glob("*/run.json"))
    if task in names:
        return folder / "tasks" / task
    if not names and not task:
        return folder
    raise RecipeError(
        Problem(where="--task", found=f"there is no task {task!r} in this run" if task else "no task is named",
                allowed=listed(names) or "nothing: this run is of one task",
                to_do=closest(task, names) or (f"for example --task {names[0]}" if names else "leave it out"))
    )  # fmt: skip
