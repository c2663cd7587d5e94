"""The data side's figures: `python benchmarks/data.py` prints Markdown for docs/benchmarks.md.

    python benchmarks/data.py                                    # everything, 1 and 3 million rows: about 8 minutes
    python benchmarks/data.py --rows 100000 --copies 20000       # a small one, half a minute
    python benchmarks/data.py --only copies

Each part is a module `data_*.py` with what it measures and a table; a new one is entered in PARTS. Parts run one after the
other, each in a process of its own, so that the memory of one is not counted with the next.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil


def copies(asked: argparse.Namespace) -> list[str]:
    """Near copies against datasketch and brute force."""
    import data_copies

    return data_copies.table(data_copies.measured(asked.copies, min(asked.copies, 20_000), asked.sample))


def streaming(asked: argparse.Namespace) -> list[str]:
    """The whole way from a file to splits."""
    import data_streaming

    return data_streaming.table([data_streaming.measured(rows, asked.processes) for rows in asked.rows])


PARTS: dict[str, Callable[[argparse.Namespace], list[str]]] = {"streaming": streaming, "copies": copies}


def main() -> None:
    """Run the parts, or one of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rows", type=int, nargs="+", default=[1_000_000, 3_000_000], help="rows of the streamed files"
    )
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--copies", type=int, default=200_000, help="texts for the comparison of near copies")
    parser.add_argument("--sample", type=int, default=3000, help="texts of which every pair is compared")
    parser.add_argument("--only", choices=list(PARTS))
    asked = parser.parse_args()
    if asked.only:
        print("\n".join(PARTS[asked.only](asked)), flush=True)
        return
    print(f"{platform.machine()}, {psutil.cpu_count()} cores, Python {platform.python_version()}\n", flush=True)
    for name in PARTS:
        command = [sys.executable, str(Path(__file__).resolve()), *sys.argv[1:], "--only", name]
        subprocess.run(command, check=True)
        print(flush=True)


if __name__ == "__main__":
    main()
