"""A run is a folder. This file knows its layout and nothing of what the values mean."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tunewright.core.errors import Problem, RunDamaged, listed
from tunewright.core.files import read_lines, storing, write_json, write_lines

_FOLDERS = ("data", "checkpoints", "model", "predictions", "evaluations", "tasks", "merged")
_FILES = (
    "recipe.yaml",
    "stages.json",
    "history.jsonl",
    "evaluations.jsonl",
    "evidence.json",
    "report.html",
    "run.json",
)


_LEFT = (".*.part", "*/.*.part", ".report-*.html")
"""What a killed run leaves of files that it was writing beside their places."""


class RunFolder:
    """Paths of a run, and its files that grow a line at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recipe = path / "recipe.yaml"
        self.data = path / "data"
        self.checkpoints = path / "checkpoints"
        self.model = path / "model"
        self.history = path / "history.jsonl"
        self.evaluations = path / "evaluations.jsonl"
        self.evidence = path / "evidence.json"
        self.stages = path / "stages.json"
        self._open: dict[Path, Any] = {}

    @property
    def name(self) -> str:
        return self.path.resolve().name

    def facts(self) -> dict[str, Any]:
        """What run.json says; empty where there is none yet.

        Raises:
            RunDamaged: it cannot be read.
        """
        return self._json(self.path / "run.json")

    def _json(self, path: Path) -> dict[str, Any]:
        if not path.exists():
            return {}
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunDamaged(
                Problem(where=str(path), found=f"it cannot be read: {error}", to_do="start the run anew with --fresh")
            ) from error
        return value if isinstance(value, dict) else {}

    def findings(self) -> dict[str, Any]:
        """What evidence.json says; empty where there is none yet.

        Raises:
            RunDamaged: it cannot be read.
        """
        return self._json(self.evidence)

    def note(self, facts: Mapping[str, Any]) -> None:
        """Adds to run.json."""
        write_json(self.path / "run.json", {**self.facts(), **facts})

    def done(self, stage: str, key: str) -> bool:
        """Whether a stage was finished with these inputs."""
        return bool(self._json(self.stages).get(stage) == key)

    def finish(self, stage: str, key: str) -> None:
        """Enters a finished stage; the stages after it are to be done again."""
        write_json(self.stages, {**self._json(self.stages), stage: key})

    def append(self, path: Path, row: Mapping[str, Any]) -> None:
        """Adds a line to a file that grows, at once."""
        with storing(path):
            if path not in self._open:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._open[path] = path.open("a", encoding="utf-8", newline="\n")
            self._open[path].write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
            self._open[path].flush()

    def cut(self, path: Path, step: int) -> None:
        """Removes the lines after `step`: what a killed run wrote after its last checkpoint is written again."""
        self.close()
        rows = [row for row in read_lines(path) if row["step"] <= step]
        if path.exists():
            write_lines(path, rows)

    def close(self) -> None:
        """Closes the files that grow."""
        for file in self._open.values():
            with suppress(OSError):  # every line was flushed when it was added; what was not has been reported
                file.close()
        self._open.clear()

    def claim(self) -> None:
        """Refuses a folder where other things than a run's bear the names that a run writes or removes.

        Raises:
            RunDamaged: it holds some, and no run.json.
        """
        others = [name for name in (*_FOLDERS, *_FILES) if (self.path / name).exists()]
        if others and not (self.path / "run.json").exists():
            raise RunDamaged(
                Problem(where=str(self.path), found=f"it holds {listed(others)}, but no run",
                        allowed="an empty folder, or the folder of a run", to_do="choose another --folder")
            )  # fmt: skip

    def clear(self) -> None:
        """Removes everything that a run writes, and only that; run.json last, so that a kill leaves a run."""
        self.close()
        for name in _FOLDERS:
            shutil.rmtree(self.path / name, ignore_errors=True)
        for name in _FILES:
            (self.path / name).unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps a second process out of the same run.

        Raises:
            RunDamaged: another process is at work here.
        """
        path = self.path / ".lock"
        with storing(path):
            self.path.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT)
        try:
            _lock(handle, self.path)
            for left in (f for name in _LEFT for f in self.path.glob(name)):
                if left.is_file():
                    left.unlink(missing_ok=True)
            yield
        finally:
            self.close()
            os.close(handle)


def _lock(handle: int, path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # Windows: no lock, one user
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise RunDamaged(
            Problem(where=str(path), found="another process is at work in this run folder",
                    to_do="wait for it, or choose another folder")
        ) from error  # fmt: skip


def inventory(root: Path) -> list[dict[str, Any]]:
    """Every run below `root`, newest first: what run.json and evidence.json say in short."""
    rows: list[dict[str, Any]] = []
    for path in sorted(root.glob("*/run.json")):
        folder = RunFolder(path.parent)
        try:
            facts = folder.facts()
            evidence = folder.findings()
        except RunDamaged as error:
            rows.append({"name": path.parent.name, "status": "damaged", "problem": str(error), "created": ""})
            continue
        verdict = evidence.get("verdict") or {}
        metric = verdict.get("metric") or "accuracy"
        tuned = next((c for c in evidence.get("contenders", []) if c["role"] == "tuned"), None)
        rows.append(
            {
                "name": path.parent.name,
                "folder": str(path.parent),
                "status": facts.get("status", "unknown"),
                "created": facts.get("created", ""),
                "model": facts.get("model", {}).get("name"),
                "adaptation": facts.get("adaptation"),
                "metric": metric,
                "value": tuned["metrics"].get(metric, {}).get("value") if tuned else None,
                "verdict": verdict.get("outcome"),
                "against": verdict.get("against"),
            }
        )
    return sorted(rows, key=lambda row: str(row["created"]), reverse=True)
