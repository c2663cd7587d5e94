"""Writes requirements.lock: the exact version of every package in this environment that Tunewright needs.

A constraints file: it fixes versions and installs nothing by itself, so one lock serves every extra. Local version
labels (2.13.0+cpu) are cut, so that the same file serves machines with and without a GPU.
"""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = ("demo", "quantized", "data", "bench", "test")


def needed() -> dict[str, str]:
    """Names and versions of all that Tunewright and its extras depend on, and theirs in turn."""
    out: dict[str, str] = {}
    queue = [("tunewright", EXTRAS)]
    while queue:
        name, extras = queue.pop()
        for requirement in metadata.requires(name) or []:
            plain = re.match(r"[A-Za-z0-9._-]+", requirement)
            if plain is None or ("extra ==" in requirement and not any(f'"{e}"' in requirement for e in extras)):
                continue
            key = re.sub(r"[-_.]+", "-", plain.group()).lower()
            if key in out:
                continue
            try:
                out[key] = metadata.version(key).partition("+")[0]
            except metadata.PackageNotFoundError:
                continue  # of another platform, or an extra that is not wanted
            queue.append((key, ()))
    return out


def main() -> None:
    """Writes the file."""
    lines = [f"{name}=={version}" for name, version in sorted(needed().items())]
    head = "# Exact versions, as constraints (`pip install -c`). Made by `make lock`; do not edit.\n"
    (ROOT / "requirements.lock").write_text(head + "\n".join(lines) + "\n", encoding="utf-8")
    print(f"requirements.lock: {len(lines)} packages")


if __name__ == "__main__":
    main()
