"""Checkpoints: a folder that is whole or is not there, and that knows when it was damaged.

    checkpoints/
      step-000120/          what is needed to go on exactly: weights that learn, update, windows, stopping
        weights.safetensors   update.safetensors   state.json   manifest.json
      best/                 weights that learn, at the best validation

A folder is written under another name, each file is synced, `manifest.json` (sizes and SHA-256 of all) comes
last, and a rename makes it appear. The newest checkpoint whose manifest holds is used; a damaged one is reported
and the one before it is taken. Nothing random is saved: every random number is keyed by step and example.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tunewright.core.errors import Problem, RunDamaged
from tunewright.core.files import sha256, storing
from tunewright.core.tensors import Parameters


@dataclass(frozen=True)
class State:
    """What a step leaves behind. `numbers` is plain JSON; `weights` and `update` are tensors by name."""

    step: int
    weights: dict[str, Tensor]
    update: dict[str, Tensor]
    numbers: dict[str, Any]


class Checkpoints:
    """The checkpoints of one run, bound to the fingerprint of what they belong to."""

    def __init__(self, folder: Path, fingerprint: str, keep: int = 2) -> None:
        self.folder, self.fingerprint, self.keep = folder, fingerprint, keep

    def save(self, state: State) -> Path:
        """Writes the checkpoint of `state.step` and removes all but the newest `keep`."""
        place = self.folder / f"step-{state.step:08d}"
        self._write(place, state)
        steps = self._steps()
        here = steps.index(place)
        # later ones are damaged, or this run would have gone on from them: they must not count among the kept
        for old in (*steps[: max(here + 1 - self.keep, 0)], *steps[here + 1 :]):
            shutil.rmtree(old, ignore_errors=True)
        return place

    def save_best(self, step: int, parameters: Parameters, numbers: Mapping[str, Any]) -> None:
        """Writes the weights of the best validation so far."""
        weights = {name: p.detach() for name, p in parameters.items()}
        self._write(self.folder / "best", State(step, weights, {}, dict(numbers)))

    def last(self) -> tuple[State | None, list[Problem]]:
        """The newest checkpoint that is whole (None: there is none), and what was wrong with newer ones.

        Raises:
            RunDamaged: the checkpoints belong to another recipe, model or data.
        """
        damaged: list[Problem] = []
        for place in reversed(self._steps()):
            state = self._read(place, damaged)
            if state is not None:
                return state, damaged
        return None, damaged

    def best(self) -> State | None:
        """The best checkpoint, or None where there is none or it is damaged."""
        for name in ("best", ".best.old"):  # the second is there when a kill came between the two renames
            if (self.folder / name).is_dir():
                return self._read(self.folder / name, [])
        return None

    def clear(self) -> None:
        """Removes what can be continued, keeping `best`: for a run that has finished."""
        for place in self._steps():
            shutil.rmtree(place, ignore_errors=True)

    def _steps(self) -> list[Path]:
        return sorted(self.folder.glob("step-*")) if self.folder.is_dir() else []

    def _write(self, place: Path, state: State) -> None:
        temporary = place.with_name(f".{place.name}.part")
        try:
            with storing(place):
                self._fill(temporary, state)
                self._appear(temporary, place)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)  # after a failure: a full disk needs the room

    def _fill(self, folder: Path, state: State) -> None:
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name, tensors in (("weights", state.weights), ("update", state.update)):
            whole = {k: v.detach().contiguous() for k, v in tensors.items()}
            try:
                save_file(whole, str(folder / f"{name}.safetensors"))
            except SafetensorError as error:  # it wraps the operating system's own
                number = re.search(r"os error (\d+)", str(error))
                if number is None:
                    raise
                raise OSError(int(number[1]), os.strerror(int(number[1]))) from error
        numbers = {"step": state.step, "numbers": state.numbers}
        (folder / "state.json").write_text(json.dumps(numbers, allow_nan=False))
        files = {p.name: {"bytes": p.stat().st_size, "sha256": sha256(p)} for p in sorted(folder.iterdir())}
        manifest = {"version": 1, "fingerprint": self.fingerprint, "files": files}
        (folder / "manifest.json").write_text(json.dumps({**manifest, "check": _check(manifest)}))
        for path in (*folder.iterdir(), folder):
            _sync(path)

    def _appear(self, temporary: Path, place: Path) -> None:
        old = place.with_name(f".{place.name}.old")
        if place.exists():  # `best`, or a damaged step; a rename cannot replace a folder that is not empty
            shutil.rmtree(old, ignore_errors=True)
            place.rename(old)
        temporary.rename(place)
        shutil.rmtree(old, ignore_errors=True)
        _sync(place.parent)

    def _read(self, place: Path, damaged: list[Problem]) -> State | None:
        from safetensors.torch import load_file

        found = self._damage(place)
        if found:
            damaged.append(
                Problem(where=str(place), found=found, allowed="the files as they were written",
                        to_do="nothing: the checkpoint before it is used")
            )  # fmt: skip
            return None
        state = json.loads((place / "state.json").read_text())
        return State(
            int(state["step"]),
            load_file(str(place / "weights.safetensors")),
            load_file(str(place / "update.safetensors")),
            state["numbers"],
        )

    def _damage(self, place: Path) -> str:
        """What is wrong with a checkpoint, or an empty string."""
        try:
            manifest = json.loads((place / "manifest.json").read_text())
            if manifest.pop("check") != _check(manifest):
                return "its manifest is not what was written"
            files = manifest["files"]
            belongs = manifest["fingerprint"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return "its manifest is missing or unreadable"
        for name, facts in files.items():
            path = place / name
            if not path.is_file():
                return f"{name} is missing"
            if path.stat().st_size != facts["bytes"] or sha256(path) != facts["sha256"]:
                return f"{name} is not what was written"
        if belongs != self.fingerprint:
            raise RunDamaged(
                Problem(
                    where=str(place),
                    found="it was made by another recipe, base model or data",
                    allowed="a checkpoint of the same run",
                    to_do="give the run another folder (run.folder), or start it anew with --fresh",
                )
            )
        return ""


def _check(manifest: Mapping[str, Any]) -> str:
    """What tells a manifest with a flipped bit from one of another run."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def restore(parameters: Parameters, weights: Mapping[str, Tensor]) -> None:
    """Copies saved weights into the parameters that learn.

    Raises:
        RunDamaged: names or shapes differ.
    """
    problems = [
        Problem(where=f"checkpoint, weight {name}", found="missing or of another shape",
                to_do="this checkpoint belongs to another model or adaptation")
        for name, p in parameters.items()
        if name not in weights or weights[name].shape != p.shape
    ]  # fmt: skip
    if problems:
        raise RunDamaged(*problems[:5])
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])
