"""Suspects, difficulty and balance on the command line: files and models to the data side's own functions, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tunewright.core.errors import DataError, Problem, counted, listed
from tunewright.core.files import read_lines, write_json, write_lines
from tunewright.core.records import Predictions
from tunewright.curating import Opened, SettledRows
from tunewright.data.clean import identify
from tunewright.data.difficulty import Means, measured
from tunewright.data.difficulty.protocol import Loss
from tunewright.data.journal import Draft
from tunewright.data.probe import Floats
from tunewright.data.suspects import review
from tunewright.data.suspects.finding import Suspects, find
from tunewright.data.suspects.ranking import Method
from tunewright.evaluation import predictions as predictions_files
from tunewright.models.embedding import encoder


def labelled(opened: Opened) -> tuple[SettledRows, list[Draft]]:
    """The rows that have one class each, each with an id of its own.

    Raises:
        DataError: the task is another than classification.
    """
    rows = opened.settled()
    if rows.target.task != "classification":
        raise DataError(
            Problem(where="suspects", found=f"the task {rows.target.task}", allowed="classification: one label a row",
                    to_do="name the columns: --text TEXT --label LABEL")
        )  # fmt: skip
    identify(rows.drafts)
    return rows, [draft for draft in rows.drafts if draft.label is not None]


def suspects(
    opened: Opened,
    *,
    probe: str = "tfidf",
    probabilities: Sequence[Path] = (),
    method: Method = "stacked",
    rounds: int = 2,
) -> Suspects:
    """The rows of a source by how suspect their labels are.

    Args:
        probe: tfidf; or an encoder's name, folder or Hub id, beside which TF-IDF is asked too.
        probabilities: JSON lines with `id` or `text`, and `probabilities` or `scores` by label, out of sample; or runs.
    """
    _, drafts = labelled(opened)
    if probabilities:
        labels, values, told = probabilities_of(probabilities, drafts)
        return find(told, opened.seed, given_probabilities=(labels, values), method=method)
    if probe == "tfidf":
        return find(drafts, opened.seed, method=method, rounds=rounds)
    return find(drafts, opened.seed, probe="both", encode=encoder(probe), method=method, rounds=rounds)


def probabilities_of(paths: Sequence[Path], drafts: Sequence[Draft]) -> tuple[tuple[str, ...], Floats, list[Draft]]:
    """What files and runs say of these rows, found by their ids or else their texts.

    Args:
        paths: JSON lines, which must know every row; or runs' folders, of which the test rows' predictions are taken: those of
            all folds of a recipe (`data.split.folds`) know every row that was trained with.

    Returns:
        Labels, (N, C) probabilities, and the N rows: of runs those that any of them has predicted.

    Raises:
        DataError: no such file, a line without probabilities, or rows that nothing is said of; all at once.
    """
    known, problems = dict[str, Mapping[str, float]](), list[Problem]()
    for path in paths:
        if path.is_dir():
            known.update(_predicted(path, problems))
        else:
            known.update(_listed(path, problems))
    found = [known.get(draft.id) or known.get(draft.id.partition("-")[0]) or known.get(draft.text) for draft in drafts]
    lacking = [draft.source.line for draft, one in zip(drafts, found, strict=True) if one is None]
    if lacking and (len(lacking) == len(drafts) or not any(path.is_dir() for path in paths)):
        problems.append(
            Problem(where=", ".join(map(str, paths)), found=f"nothing of {counted(len(lacking), 'row')}, first line {lacking[0]}",
                    allowed="probabilities for every labelled row, out of sample")
        )  # fmt: skip
    if problems:
        raise DataError(*problems[:20])
    told = [(draft, one) for draft, one in zip(drafts, found, strict=True) if one is not None]
    labels = tuple(sorted({name for _, one in told for name in one}))
    values = np.array([[float(one.get(name, 0.0)) for name in labels] for _, one in told])
    return labels, values, [draft for draft, _ in told]


def _listed(path: Path, problems: list[Problem]) -> dict[str, Mapping[str, float]]:
    """Probabilities by id and by text, of a file of JSON lines."""
    known = dict[str, Mapping[str, float]]()
    if not path.is_file():
        problems.append(Problem(where=str(path), found="no such file"))
        return known
    try:
        lines = read_lines(path)
    except ValueError as error:
        problems.append(Problem(where=str(path), found=f"no JSON lines: {error}"))
        return known
    for line, row in enumerate(lines, 1):
        given = (row.get("probabilities") or row.get("scores")) if isinstance(row, dict) else None
        if not isinstance(given, dict) or not all(isinstance(p, (int, float)) for p in given.values()):
            problems.append(
                Problem(where=f"{path}, line {line}", found="no probabilities",
                        allowed='{"id" or "text": ..., "probabilities": {"label": number, ...}}')
            )  # fmt: skip
            continue
        for name in ("id", "text"):
            if row.get(name) is not None:
                known[str(row[name])] = given
    return known


def _predicted(run: Path, problems: list[Problem]) -> dict[str, Mapping[str, float]]:
    """Probabilities by id, of the test rows of a run."""
    made = [c.predictions for c in predictions_files.read_all(run, "test") if c.name == "tuned"]
    if not made or not isinstance(made[0], Predictions):
        problems.append(
            Problem(where=str(run), found="no predictions of classes by a tuned model", allowed="a finished run of classification")
        )  # fmt: skip
        return {}
    one = made[0]
    return {i: dict(zip(one.labels, map(float, row), strict=True)) for i, row in zip(one.ids, one.scores, strict=True)}


@dataclass(frozen=True)
class Applied:
    """How many rows were written, relabelled and left out by a review."""

    rows: int
    relabelled: int
    dropped: int
    out: str
    ledger: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return {"rows": self.rows, "relabelled": self.relabelled, "dropped": self.dropped, "out": self.out,
                "ledger": dict(self.ledger)}  # fmt: skip


def apply(opened: Opened, listing: Path, out: Path) -> Applied:
    """Writes the source's rows as JSON lines with a review's answers in them, and the ledger beside.

    Raises:
        DataError: an answer's row is no longer in the source.
    """
    given = review.answers(review.answers_beside(listing), review.read(listing))
    rows, _ = labelled(opened)
    lost = sorted(set(given) - {draft.id for draft in rows.drafts})
    if lost:
        raise DataError(
            Problem(where=str(listing), found=f"{counted(len(lost), 'answer')} about rows that are not in the source: "
                    f"{listed(lost, 3)}", to_do="give the file that the list was made of, or make the list anew")
        )  # fmt: skip
    left = list[Draft]()
    relabelled = 0
    for draft in rows.drafts:
        answer = given.get(draft.id)
        by = f", said {answer.by}" if answer is not None and answer.by else ""
        if answer is not None and answer.action == "drop":
            rows.journal.note("review", "dropped", "dropped_by_review", draft, f"was {draft.label!r}{by}")
            continue
        if answer is not None and answer.action == "relabel" and answer.label != draft.label:
            rows.journal.note("review", "changed", "relabelled", draft, f"{draft.label!r} became {answer.label!r}{by}")
            draft.label = answer.label
            relabelled += 1
        left.append(draft)
    rows.journal.close("review", len(rows.drafts), len(left))
    ledger = rows.journal.ledger.as_json()
    write_lines(out, (draft.record().as_json() for draft in left))
    write_json(out.with_name(f"{out.stem}.ledger.json"), ledger)
    return Applied(len(left), relabelled, len(rows.drafts) - len(left), str(out), ledger)


def scored(opened: Opened, by: Sequence[str], language: str | None = None) -> list[Draft]:
    """The source's rows, labelled ones alone where the probe is asked, with their difficulty.

    Args:
        language: the causal language model that instruction-following difficulty goes by; else the recipe's.

    Raises:
        RecipeError: there is no such measure. DataError: the rows lack what it goes by.
    """
    rows = opened.settled()
    identify(rows.drafts)
    drafts = [draft for draft in rows.drafts if draft.label is not None] if "probe" in by else rows.drafts
    scores = measured(drafts, list(by), Means(opened.seed, _loss(opened, language)))
    for i, draft in enumerate(drafts):
        draft.difficulty = tuple((name, float(own[i])) for name, own in scores.items())
    return drafts


def _loss(opened: Opened, language: str | None) -> Loss | None:
    if language is not None:
        from tunewright.models.perplexing import reply_losses

        return reply_losses(language)
    return opened.models().loss


def written(drafts: Sequence[Draft], out: Path) -> None:
    """The rows as JSON lines, whole or not at all."""
    write_lines(out, (draft.record().as_json() for draft in drafts))


__all__ = ["Applied", "apply", "labelled", "probabilities_of", "scored", "suspects", "written"]
