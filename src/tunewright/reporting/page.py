"""Puts the views into the template and the result beside the run, atomically."""

from __future__ import annotations

import os
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from tunewright.core.errors import Problem, StorageError
from tunewright.reporting import answers, calibration, course, entities, provenance, quotes, results, tasks
from tunewright.reporting.formatting import count, day, percent
from tunewright.reporting.loading import RunFiles, load, string, strings

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
    return _environment().get_template("report.html.j2").render(_view(files))


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


def _view(files: RunFiles) -> dict[str, Any]:
    evidence = files.evidence
    task, contents = tasks.task_of(evidence), tasks.contents(evidence)
    tuned = results.contender_title(evidence, results.tuned(evidence).get("name"))
    return {
        "name": string(files.run.get("name"), files.name),
        "created": day(files.run["created"]) if "created" in files.run else "",
        "status": string(files.run.get("status")),
        "version": string(files.run.get("tunewright")),
        "task": string(evidence.get("task"), "task not recorded"),
        "split": string(evidence.get("split"), "test"),
        "confidence": percent(evidence.get("confidence"), 0),
        "resamples": count(evidence.get("resamples")),
        "verdict": results.verdict(evidence),
        "contents": contents,
        "shown": {key for key, _ in contents},
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
        "calibration": calibration.calibration(evidence),
        "entities": entities.types(evidence),
        "mistakes": entities.mistakes(files, quotes.mistakes(files)),
        "mistakes_shown": quotes.SHOWN,
        "flips": entities.flips(files, quotes.flips(files)),
        "course": course.course(files),
        "data": provenance.data_card(files),
        "cost": course.cost(files),
        "lineage": provenance.lineage(files),
        "not_tested": strings(evidence.get("not_tested")),
        "missing": files.missing,
    }
