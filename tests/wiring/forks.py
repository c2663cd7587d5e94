"""Forks a child of a warm process for each command that comes on standard input, and kills it where it is asked to.

One JSON line in: words, folder, and perhaps the moment of a SIGKILL. Two lines out: the child's id, its exit code.
Not a test: conftest.py starts it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any


def warm() -> None:
    """Imports what is slow. Nothing is computed: a fork of a process whose libraries have threads can hang."""
    import sklearn.feature_extraction.text
    import sklearn.linear_model  # noqa: F401

    import tunewright.reevaluating
    import tunewright.screen  # noqa: F401
    from tunewright.models.loading import find, load
    from tunewright.recipe import families
    from tunewright.reporting import page

    families()
    load(find("toy"), ["a", "b"], 0)
    page._environment().get_template("report.html.j2")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_at_line(file: str, nth: int, half: bool) -> None:
    """While (`half`) or after the line number `nth` is added to a growing file."""
    from tunewright.tracking.folder import RunFolder

    append, seen = RunFolder.append, [0]

    def added(self: Any, path: Path, row: Any) -> None:
        if path.name == file:
            seen[0] += 1
            if half and seen[0] == nth:
                with path.open("ab") as open_file:
                    open_file.write(json.dumps(row).encode()[:20])
                die()
        append(self, path, row)
        if path.name == file and seen[0] == nth:
            die()

    RunFolder.append = added  # type: ignore[method-assign]


def kill_at_rename(name: str, before: bool, nth: int = 1) -> None:
    """Before or after something is renamed to `name`."""
    seen = [0]
    rename, replace = Path.rename, Path.replace

    def watched(plain: Any) -> Any:
        def moved(self: Path, target: Any) -> Any:
            hit = Path(target).name == name
            seen[0] += hit
            if hit and before and seen[0] == nth:
                die()
            out = plain(self, target)
            if hit and seen[0] == nth:
                die()
            return out

        return moved

    Path.rename, Path.replace = watched(rename), watched(replace)  # type: ignore[method-assign]


def kill_at_hash(folder: str) -> None:
    """Before the manifest of a checkpoint that is being written."""
    from tunewright.training import checkpoint

    plain = checkpoint.sha256

    def hashed(path: Path) -> str:
        if path.parent.name == f".{folder}.part":
            die()
        return plain(path)

    checkpoint.sha256 = hashed


def kill_at_stage(stage: str) -> None:
    """When a stage has left its value, before that is entered."""
    from tunewright.tracking.folder import RunFolder

    finish = RunFolder.finish

    def finished(self: Any, name: str, key: str) -> None:
        if name == stage:
            die()
        finish(self, name, key)

    RunFolder.finish = finished  # type: ignore[method-assign]


MOMENTS = {"line": kill_at_line, "rename": kill_at_rename, "hash": kill_at_hash, "stage": kill_at_stage}


def child(job: dict[str, Any]) -> None:
    code = 70
    signal.alarm(120)  # what hangs ends
    try:
        os.chdir(job["at"])
        said = os.open("said.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(said, 1)
        os.dup2(said, 2)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        sys.argv = ["tunewright", *job["words"]]
        sys.stdout = os.fdopen(1, "w", encoding="utf-8")
        sys.stderr = os.fdopen(2, "w", encoding="utf-8")
        if job["kill"]:
            kill = dict(job["kill"])
            MOMENTS[kill.pop("at")](**kill)
        from tunewright.cli import main

        main()
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def serve() -> None:
    warm()
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            child(json.loads(line))
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve()
