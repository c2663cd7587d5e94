"""Clean, deduplicate and divide generated rows from a CSV file to splits and ledger: seconds, and memory of all processes."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from data_rows import write_csv
from tunewright.core.registry import build
from tunewright.data import Columns, Options
from tunewright.data.streaming import Streamed, stream

_EVERY = 0.05


@dataclass(frozen=True)
class Pass:
    """One run over so many rows."""

    rows: int
    processes: int
    seconds: float
    peak_mib: float
    bytes_in: int
    duplicates: int
    clusters: int
    splits: dict[str, int]
    balances: bool


class Peak:
    """The greatest sum of resident memory of this process and its children, sampled 20 times a second."""

    def __init__(self) -> None:
        self.bytes = 0

    @contextmanager
    def watched(self) -> Iterator[Peak]:
        """Samples while the block runs."""
        done, own = threading.Event(), psutil.Process()

        def sample() -> None:
            while not done.wait(_EVERY):
                total = 0
                for process in (own, *own.children(recursive=True)):
                    try:
                        total += process.memory_info().rss
                    except psutil.Error:
                        continue
                self.bytes = max(self.bytes, total)

        thread = threading.Thread(target=sample, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            done.set()
            thread.join()


def measured(count: int, processes: int, folder: Path | None = None) -> Pass:
    """Write the rows, then time the way from the file to the splits."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        base = Path(place)
        write_csv(base / "rows.csv", count)
        steps = tuple(build("step", name) for name in ("mojibake", "strip", "near_duplicates"))
        options = Options(train=("rows.csv",), columns=Columns("text", "label"), steps=steps)
        start = time.perf_counter()
        with Peak().watched() as peak:
            found: Streamed = stream(options, base / "out", base=base, processes=processes)
        spent = time.perf_counter() - start
        sums = {stage.name: stage for stage in found.ledger.stages}
        return Pass(
            count, processes, spent, peak.bytes / 2**20, (base / "rows.csv").stat().st_size,
            sum(sums[name].dropped + sums[name].quarantined for name in ("duplicates", "near_duplicates", "conflicts")),
            found.found["near_duplicates"]["clusters"], found.splits,
            all(stage.balances for stage in found.ledger.stages) and sum(found.splits.values()) == sums["split"].left,
        )  # fmt: skip


def table(found: list[Pass]) -> list[str]:
    """The figures as Markdown."""
    lines = [
        "Clean, deduplicate and divide: CSV to train, validation, test and ledger, on disk to on disk",
        "",
        "| rows | MB | processes | seconds | rows a second | peak MiB, all processes | clusters of near copies | rows out |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in found:
        out = sum(one.splits.values())
        lines.append(
            f"| {one.rows:,} | {one.bytes_in / 1e6:,.0f} | {one.processes} | {one.seconds:.1f} | {one.rows / one.seconds:,.0f} | "
            f"{one.peak_mib:,.0f} | {one.clusters:,} | {out:,} |"
        )
    return lines
