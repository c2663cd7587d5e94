"""Where and with what a benchmark ran, and how its files are written. Standard library alone."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any


def machine() -> dict[str, Any]:
    """Processor, cores, memory and platform."""
    cpu = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), cpu)
    except OSError:
        pass
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cpu": cpu, "cores": os.cpu_count(), "memory_gib": memory, "platform": platform.platform(terse=True),
        "threads_variable": os.environ.get("OMP_NUM_THREADS"),
    }  # fmt: skip


def versions(*more: str) -> dict[str, str]:
    """Python and the packages that matter; `more` names further ones."""
    found = {"python": platform.python_version()}
    for name in ("torch", "transformers", "accelerate", *more, "tokenizers", "tunewright"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def write(path: Path, text: str) -> None:
    """Write beside and rename, so that nothing is ever half-written."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def today() -> str:
    """The date of the run, in UTC."""
    return datetime.datetime.now(tz=datetime.UTC).date().isoformat()
