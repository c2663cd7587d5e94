"""Puts the views into the template and the result beside the run, atomically."""

from __future__ import annotations

import os
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from tunewright.core.errors import Problem, StorageError
from tunewright.reporting import (
    answers,
    calibration,
    corpus,
    course,
    documents,
    entities,
    findings,
    margins,
    provenance,
    quotes,
    replies,
    results,
    several,
    tasks,
)
from tunewright.reporting.formatting import count, day, percent, shortened
from tunewright.reporting.loading import RunFiles, load
from tunewright.reporting.values import string, strings

LIMIT = 2_000_000
"""The largest report in bytes; the caps on quoted texts, classes and points keep every report below it."""


def render(run_folder: Path) -> Path:
    """Write `report.html` into a run folder and return its path.

    Raises:
        RunDamaged: the folder or its evidence.json cannot be read; every other missing file is shown as a gap.
        StorageError: the report cannot be written.
    """
    folder = Path(run_folder)
    page = compose(load(folder))
    target = folder / "report.html"
    try:
        _replace(target, page.encode("utf-8"))
    except OSError as error:
        raise StorageError(
            Problem(where=str(target), found=error.strerror or str(error), to_do="free some space or mend the rights")
        ) from error
    return target


def compose(files: RunFiles) -> str:
    """The report as a string: a pure function of what was loaded."""
    return _environment().get_template("report.html.j2").render(_several(files) if files.parts else _view(files))


def _replace(target: Path, content: bytes) -> None:
    handle, beside = tempfile.mkstemp(prefix=".report-", suffix=".html", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(beside).chmod(0o644)
        Path(beside).replace(target)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("tunewright.reporting", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _several(files: RunFiles) -> dict[str, Any]:
    """The view of a run of several tasks: an overview, and each task's own sections, written on their own."""
    evidence = files.evidence
    view = {**_frame(files), "verdict": several.verdict(evidence), "task": f"multitask, {len(files.parts)} tasks"}
    own = _environment().get_template("report.html.j2").blocks
    shown = several.shown(files)
    parts = []
    for anchor, part in shown:
        inner = {**_view(part, len(shown)), "at": f"{anchor}-", "by": f"{anchor}-title ", "h": ("h3", "h4", "h5")}
        parts.append(
            {
                "name": shortened(part.name, 60),
                "anchor": anchor,
                "kind": string(inner["task"]).replace("_", " "),
                "verdict": inner["verdict"],
                "sections": _written(own["own"], inner),
                "data": _written(own["data"], inner) if part.card or part.ledger else "",
                "not_tested": inner["not_tested"],
            }
        )
    return {
        **view,
        "parts": parts,
        "overview": several.overview(evidence),
        "transfer": several.transfer(evidence),
        "weights": several.weights(evidence),
        "not_tested": list(
            dict.fromkeys([*view["not_tested"], *(line for one in parts for line in one["not_tested"])])
        ),
    }


def _written(block: Any, view: dict[str, Any]) -> Markup:
    """One block of the page by itself: escaped as the page is."""
    context = _environment().get_template("report.html.j2").new_context(view)
    return Markup("").join(Markup(piece) for piece in block(context))


def _frame(files: RunFiles) -> dict[str, Any]:
    """What the page shows whatever its tasks are."""
    evidence = files.evidence
    contents = tasks.contents(evidence)
    return {
        "at": "",
        "by": "",
        "h": ("h2", "h3", "h4"),
        "parts": [],
        "name": string(files.run.get("name"), files.name),
        "created": day(files.run["created"]) if "created" in files.run else "",
        "status": string(files.run.get("status")),
        "version": string(files.run.get("tunewright")),
        "contents": contents,
        "shown": {key for key, _ in contents},
        "course": course.course(files),
        "data": provenance.data_card(files),
        "corpus": corpus.corpus(files.card),
        "findings": findings.findings(files.card),
        "cost": course.cost(files),
        "lineage": provenance.lineage(files),
        "not_tested": strings(evidence.get("not_tested")),
        "missing": files.missing,
    }


def _view(files: RunFiles, parts: int = 1) -> dict[str, Any]:
    """The view of one task; `parts`: tasks that share the page, and its limit."""
    evidence = files.evidence
    task = tasks.task_of(evidence)
    tuned = results.contender_title(evidence, results.tuned(evidence).get("name"))
    return {
        **_frame(files),
        "task": string(evidence.get("task"), "task not recorded"),
        "split": string(evidence.get("split"), "test"),
        "confidence": percent(evidence.get("confidence"), 0),
        "resamples": count(evidence.get("resamples")),
        "verdict": results.verdict(evidence),
        "words": task,
        "mistakes_lead": task.mistakes[1].replace("{tuned}", tuned),
        "tuned": tuned,
        "titles": [results.contender_title(evidence, one.get("name")) for one in results.contenders(evidence)],
        "forests": results.forests(evidence),
        "metrics": results.metric_rows(evidence),
        "comparisons": results.comparisons(evidence),
        "family": results.family(evidence),
        "class_columns": list(results.CLASS_COLUMNS.values()),
        "classes": results.class_rows(evidence),
        "confusion": results.confusion(evidence),
        "labels": answers.labels(evidence),
        "targets": answers.targets(evidence),
        "replies": replies.generated(files, parts),
        "documents": documents.documents(files, parts),
        "margins": margins.margins(evidence),
        "exchanges": replies.lowest(files, parts) or margins.lowest_pairs(files, parts),
        "exchanges_shown": replies.STANDING,
        "calibration": calibration.calibration(evidence),
        "entities": entities.types(evidence),
        "mistakes": entities.mistakes(files, quotes.mistakes(files))[: max(4, quotes.MISTAKES // parts)],
        "mistakes_shown": quotes.SHOWN,
        "flips": entities.flips(files, quotes.flips(files)),
    }
