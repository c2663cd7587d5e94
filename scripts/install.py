"""Installs Tunewright into the virtual environment whose Python runs this, at the versions of requirements.lock.

    python scripts/install.py demo          what `make quickstart` needs
    python scripts/install.py demo,test     what `make test` needs

Where the machine has no NVIDIA GPU, PyTorch's CPU build is installed: from PyTorch's own index where that can be
reached, else whatever the configured package index offers for the pinned version. Standard library alone.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CPU_INDEX = "https://download.pytorch.org/whl/cpu"


def pip(*arguments: str) -> None:
    """Runs pip in this environment; its failure ends the installation with its own message."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", *arguments]
    found = subprocess.run(command, check=False)
    if found.returncode:
        sys.exit(f"installation failed (exit code {found.returncode}): {' '.join(command)}")


def reachable(url: str) -> bool:
    """Whether `url` answers within three seconds."""
    try:
        with urllib.request.urlopen(f"{url}/torch/", timeout=3):
            return True
    except OSError:
        return False


def torch_arguments() -> list[str]:
    """How to ask for PyTorch: its CPU build, unless there is a GPU or the platform has one build only."""
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pinned = next(line for line in lines if line.startswith("torch=="))
    if platform.system() != "Linux" or shutil.which("nvidia-smi") or not reachable(CPU_INDEX):
        return [pinned]
    return [pinned, "--extra-index-url", CPU_INDEX]


def main() -> None:
    """Installs PyTorch first, then the package with the extras named on the command line."""
    extras = sys.argv[1] if len(sys.argv) > 1 else "demo"
    print(f"installing Tunewright [{extras}] at the versions of requirements.lock ...", flush=True)
    lock = str(ROOT / "requirements.lock")
    pip(*torch_arguments(), "--constraint", lock)
    pip("--constraint", lock, "--editable", f"{ROOT}[{extras}]")


if __name__ == "__main__":
    main()
