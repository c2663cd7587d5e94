"""A tuned model, opened again: texts in, answers out: a label, a set of labels, or numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tunewright.core.errors import DataError, Problem, RecipeError, RunDamaged, closest, listed
from tunewright.core.records import Record, Source
from tunewright.fitting import opened
from tunewright.kinds import Answer, LabelsPrediction, NumbersPrediction, Prediction
from tunewright.models.foreign import open_model
from tunewright.models.saving import Saved, open_saved
from tunewright.models.shared_base import SharedBase

__all__ = [
    "Adapters",
    "Answer",
    "LabelsPrediction",
    "NumbersPrediction",
    "Prediction",
    "Predictor",
    "load",
    "load_adapters",
]


class Predictor:
    """A tuned model ready to answer. Made by `load`."""

    def __init__(self, saved: Saved, shared: SharedBase | None = None) -> None:
        self.saved = saved
        self.labels = saved.labels
        self.kind, self._forward = opened(saved, shared=shared)

    @property
    def pair(self) -> bool:
        """Whether the model reads two texts a row."""
        return bool(self.saved.card.get("pair"))

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
        if (pairs is None) == self.pair:
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


class Adapters:
    """Several adapters on one base that is in memory once, each with its own head. Made by `load_adapters`.

    Going from one to another moves no weight: each has modules of its own around the base's tensors.
    """

    def __init__(self) -> None:
        self.shared = SharedBase()
        self._predictors: dict[str, Predictor] = {}

    def __getitem__(self, name: str) -> Predictor:
        self._check([name])
        return self._predictors[name]

    @property
    def names(self) -> list[str]:
        """The adapters, in the order in which they came."""
        return list(self._predictors)

    def add(self, name: str, folder: str | Path, task: str = "") -> None:
        """Opens one more, as `load` does.

        Raises:
            RecipeError: the name is taken. RunDamaged: there is no tuned model in the folder.
            ModelError: it is no adapter, or one on another base than those that are here.
        """
        if name in self._predictors:
            raise RecipeError(
                Problem(where=f"adapter {name}", found="there is one of this name", to_do="choose another name")
            )
        self._predictors[name] = Predictor(open_saved(_model_of(folder, task), self.shared), self.shared)

    def remove(self, name: str) -> None:
        """Lets one go; the base stays."""
        self._check([name])
        del self._predictors[name]

    @contextmanager
    def use(self, name: str) -> Iterator[Predictor]:
        """The adapter of this name for a request: `with adapters.use(name) as model: model.predict(texts)`."""
        yield self[name]

    def predict(
        self,
        texts: str | Sequence[str],
        adapters: str | Sequence[str],
        pairs: Sequence[str | None] | None = None,
    ) -> list[Answer]:
        """One prediction a text, in the order given; texts of one adapter are read together.

        Args:
            texts: one text or several.
            adapters: the adapter of each, or of all.
            pairs: the second text of each, for those adapters that read two.

        Raises:
            RecipeError: an adapter that is not here. DataError: as `Predictor.predict`.
        """
        texts = [texts] if isinstance(texts, str) else list(texts)
        names = [adapters] * len(texts) if isinstance(adapters, str) else list(adapters)
        for what, others in (("adapters", names), ("pairs", pairs)):
            if others is not None and len(others) != len(texts):
                raise DataError(Problem(where=what, found=f"{len(others)}", allowed=f"{len(texts)}, one for each text"))
        self._check(names)
        found: dict[int, Answer] = {}
        for name in dict.fromkeys(names):
            predictor, rows = self._predictors[name], [i for i, n in enumerate(names) if n == name]
            second = [pairs[i] or "" for i in rows] if pairs is not None and predictor.pair else None
            found |= zip(rows, predictor.predict([texts[i] for i in rows], second), strict=True)
        return [found[i] for i in range(len(texts))]

    def _check(self, names: Sequence[str]) -> None:
        problems = [
            Problem(where="adapters", found=f"there is none named {name!r}", allowed=listed(self.names),
                    to_do=closest(name, self.names))
            for name in dict.fromkeys(names) if name not in self._predictors
        ]  # fmt: skip
        if problems:
            raise RecipeError(*problems[:20])


def load_adapters(folders: Mapping[str, str | Path], task: str = "") -> Adapters:
    """Several adapters on one base: each a run folder, or a folder that holds a saved model.

    Raises:
        As `load`, and ModelError: one is no adapter, or one on another base than the first.
    """
    adapters = Adapters()
    for name, folder in folders.items():
        adapters.add(name, folder, task)
    return adapters


def load(folder: str | Path, task: str = "", labels: Sequence[str] = ()) -> Predictor:
    """The tuned model of a run folder, or of a folder that holds a saved model; of a run of several tasks, that of `task`.

    Args:
        labels: for an adapter that plain peft saved, the names of its scores in their order.

    Raises:
        RunDamaged: there is no tuned model, or its files were changed. ModelError: an adapter's base is gone.
        RecipeError: the run is of several tasks and has none of that name, or it is of one and a task is named.
    """
    return Predictor(open_model(_model_of(folder, task), labels))


def _model_of(folder: str | Path, task: str) -> Path:
    path = part_of(Path(folder), task)
    if (path / "model").is_dir() or (path / "run.json").exists():
        path = path / "model"
    if not path.is_dir():
        raise RunDamaged(
            Problem(where=str(folder), found="no tuned model is here", allowed="a run folder that has finished training",
                    to_do="`tunewright run RECIPE` makes one; `tunewright runs` lists them")
        )  # fmt: skip
    return path


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
