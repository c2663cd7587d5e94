"""Checkpoints: whole or not there; damage is seen and the one before is used; a full disk loses nothing."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from tunewright.core.errors import RunDamaged, StorageError
from tunewright.training import Checkpoints, State
from tunewright.training.checkpoint import restore

FILES = ("weights.safetensors", "update.safetensors", "state.json", "manifest.json")


def state(step: int) -> State:
    generator = torch.Generator().manual_seed(step)
    weights = {"a.weight": torch.randn(3, 4, generator=generator), "b": torch.randn(5, generator=generator).bfloat16()}
    update = {"exp_avg:a.weight": torch.randn(3, 4, generator=generator).double(), "step:b": torch.tensor(float(step))}
    return State(
        step, weights, update, {"windows": {"drawn": 7, "sampler": {"drawn": 3}}, "best": 0.1 + 0.2, "no": None}
    )


def same(a: State | None, b: State) -> bool:
    if a is None:
        return False
    tensors = zip((a.weights, a.update), (b.weights, b.update), strict=True)
    alike = all(x.keys() == y.keys() and all(torch.equal(x[k], y[k]) and x[k].dtype == y[k].dtype for k in x)
                for x, y in tensors)  # fmt: skip
    return alike and a.step == b.step and a.numbers == b.numbers


def folders(path: Path) -> list[str]:
    return sorted(p.name for p in path.iterdir())


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints"


@pytest.fixture
def checkpoints(place: Path) -> Checkpoints:
    """With steps 10 and 20 in it."""
    made = Checkpoints(place, "fingerprint")
    made.save(state(10))
    made.save(state(20))
    return made


def test_what_is_saved_comes_back(place: Path) -> None:
    made = Checkpoints(place, "f")
    assert made.last() == (None, []) and made.best() is None
    where = made.save(state(7))
    assert sorted(p.name for p in where.iterdir()) == sorted(FILES)
    last, damaged = Checkpoints(place, "f").last()
    assert same(last, state(7)) and damaged == []


def test_a_number_named_step_is_not_the_step(place: Path) -> None:
    made = Checkpoints(place, "f")
    made.save(State(7, {}, {}, {"step": 99, "weights": 1}))
    last, _ = made.last()
    assert last == State(7, {}, {}, {"step": 99, "weights": 1})


def test_tensors_that_are_views_and_parameters_are_saved(place: Path) -> None:
    table = torch.arange(12.0).view(3, 4)
    made = Checkpoints(place, "f")
    made.save(State(1, {"turned": nn.Parameter(table.T), "cut": table[:, 1].clone()}, {}, {}))
    last, _ = made.last()
    assert (
        last is not None and torch.equal(last.weights["turned"], table.T) and not last.weights["turned"].requires_grad
    )


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_so_many_are_kept(place: Path, keep: int) -> None:
    made = Checkpoints(place, "f", keep=keep)
    for step in (1, 9, 10, 100, 1000):
        made.save(state(step))
    assert folders(place) == [f"step-{step:08d}" for step in (1, 9, 10, 100, 1000)][-keep:]
    assert same(made.last()[0], state(1000))


def test_best_stays_and_is_replaced(place: Path, checkpoints: Checkpoints) -> None:
    for step in (3, 5):
        checkpoints.save_best(step, {k: nn.Parameter(v) for k, v in state(step).weights.items()}, {"metric": step})
        best = checkpoints.best()
        assert same(best, State(step, state(step).weights, {}, {"metric": step}))
    checkpoints.save(state(30))
    assert folders(place) == ["best", "step-00000020", "step-00000030"]
    checkpoints.clear()
    assert folders(place) == ["best"] and checkpoints.last() == (None, [])


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def gone(path: Path) -> None:
    path.unlink()


def flipped(at: float) -> Callable[[Path], None]:
    def flip(path: Path) -> None:
        raw = bytearray(path.read_bytes())
        raw[int(at * (len(raw) - 1))] ^= 1
        path.write_bytes(raw)

    flip.__name__ = f"flipped at {at}"
    return flip


DAMAGES = [truncated, emptied, longer, gone, flipped(0), flipped(0.3), flipped(0.5), flipped(0.8), flipped(1)]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("name", FILES)
def test_damage_is_seen_and_the_one_before_is_used(
    place: Path, checkpoints: Checkpoints, name: str, damage: Callable[[Path], None]
) -> None:
    damage(place / "step-00000020" / name)
    last, problems = checkpoints.last()
    assert same(last, state(10))
    assert len(problems) == 1 and "step-00000020" in problems[0].where
    assert Path(name).stem in problems[0].found


def test_every_single_bit_of_a_manifest_counts(place: Path, checkpoints: Checkpoints) -> None:
    """None of them may pass for another run's checkpoint, or raise: the one before is used."""
    path = place / "step-00000020" / "manifest.json"
    whole = path.read_bytes()
    for i in range(len(whole)):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :])
        last, problems = checkpoints.last()
        if whole[i : i + 1].isspace() and same(last, state(20)):
            continue
        assert same(last, state(10)) and len(problems) == 1, f"byte {i}"


def test_when_all_are_damaged_there_is_none(place: Path, checkpoints: Checkpoints) -> None:
    for step in (10, 20):
        truncated(place / f"step-{step:08d}" / "weights.safetensors")
    last, problems = checkpoints.last()
    assert last is None and [Path(p.where).name for p in problems] == ["step-00000020", "step-00000010"]


def test_a_damaged_best_is_none(place: Path, checkpoints: Checkpoints) -> None:
    checkpoints.save_best(3, {}, {})
    truncated(place / "best" / "weights.safetensors")
    assert checkpoints.best() is None


def test_going_on_behind_a_damaged_one_replaces_it(place: Path, checkpoints: Checkpoints) -> None:
    truncated(place / "step-00000020" / "weights.safetensors")
    checkpoints.save(state(15))
    assert folders(place) == ["step-00000010", "step-00000015"], "a damaged one must not count among the kept"
    checkpoints.save(state(20))
    assert same(checkpoints.last()[0], state(20)) and checkpoints.last()[1] == []


def test_writing_over_a_damaged_step(place: Path, checkpoints: Checkpoints) -> None:
    truncated(place / "step-00000020" / "state.json")
    checkpoints.save(state(20))
    assert same(checkpoints.last()[0], state(20)) and folders(place) == ["step-00000010", "step-00000020"]


def test_another_fingerprint_is_refused(place: Path, checkpoints: Checkpoints) -> None:
    other = Checkpoints(place, "another")
    for ask in (other.last, other.best):
        checkpoints.save_best(3, {}, {})
        with pytest.raises(RunDamaged, match="another recipe, base model or data") as error:
            ask()
        assert "--fresh" in str(error.value) and error.value.exit_code == 6


def test_a_damaged_one_of_another_run_is_just_damaged(place: Path, checkpoints: Checkpoints) -> None:
    for folder in place.iterdir():
        truncated(folder / "state.json")
    last, problems = Checkpoints(place, "another").last()
    assert last is None and len(problems) == 2


# Killed and full


def test_what_a_kill_left_behind_is_ignored_and_cleaned_away(place: Path, checkpoints: Checkpoints) -> None:
    left = place / ".step-00000030.part"
    shutil.copytree(place / "step-00000020", left)
    (left / "rubbish").write_text("x")
    assert same(checkpoints.last()[0], state(20))
    checkpoints.save(state(30))
    assert folders(place) == ["step-00000020", "step-00000030"]
    assert sorted(p.name for p in (place / "step-00000030").iterdir()) == sorted(FILES)


class Killed(BaseException):
    """Stands for SIGKILL: nothing after it runs, save what Python's own unwinding does."""


@pytest.mark.parametrize("call", range(7))
def test_a_kill_at_any_moment_of_writing_leaves_one_that_is_whole(
    place: Path, checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    """Dies at the n-th fsync or rename; clean-up is switched off, as a killed process does none."""
    checkpoints.save_best(3, {}, {"metric": 3})
    count = iter(range(100))

    def dying(real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **more: Any) -> Any:
            if next(count) == call:
                raise Killed
            return real(*args, **more)

        return step

    for save, expected in ((lambda: checkpoints.save(state(30)), (20, 30)), (best_of(checkpoints, 8), (3, 8))):
        count = iter(range(100))
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", dying(os.fsync))
            patch.setattr(Path, "rename", dying(Path.rename))
            patch.setattr(shutil, "rmtree", lambda *args, **more: None)
            with pytest.raises(Killed):
                save()
        fresh = Checkpoints(place, "fingerprint")
        found = fresh.last()[0] if expected == (20, 30) else fresh.best()
        assert found is not None and found.step in expected and fresh.last()[1] == []
    fresh.save(state(40))
    fresh.save_best(40, {}, {})
    assert same(fresh.last()[0], state(40))
    best = fresh.best()
    assert best is not None and best.step == 40


def best_of(checkpoints: Checkpoints, step: int) -> Callable[[], None]:
    return lambda: checkpoints.save_best(step, {}, {"metric": step})


FULL = OSError(errno.ENOSPC, "No space left on device")


def failing(error: Exception) -> Callable[..., Any]:
    def fail(*args: Any, **more: Any) -> Any:
        raise error

    return fail


@pytest.mark.parametrize(
    ("target", "name", "error", "words"),
    [
        (os, "fsync", FULL, "the disk is full"),
        (safetensors.torch, "save_file", FULL, "the disk is full"),
        (safetensors.torch, "save_file", SafetensorError("I/O error: No space left on device (os error 28)"), "full"),
        (safetensors.torch, "save_file", SafetensorError("I/O error: Disk quota exceeded (os error 122)"), "full"),
        (safetensors.torch, "save_file", SafetensorError("I/O error: denied (os error 13)"), "Permission denied"),
        (Path, "write_text", FULL, "the disk is full"),
        (Path, "mkdir", PermissionError(errno.EACCES, "Permission denied"), "Permission denied"),
        (Path, "rename", FULL, "the disk is full"),
    ],
)
def test_a_full_disk_is_said_and_leaves_nothing_half_written(
    place: Path, checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch,
    target: Any, name: str, error: Exception, words: str,
) -> None:  # fmt: skip
    before = folders(place)
    with monkeypatch.context() as patch:
        patch.setattr(target, name, failing(error))
        with pytest.raises(StorageError, match=words) as raised:
            checkpoints.save(state(30))
    assert "step-00000030" in str(raised.value) and raised.value.exit_code == 7
    assert folders(place) == before
    assert same(checkpoints.last()[0], state(20)) and checkpoints.last()[1] == []
    checkpoints.save(state(30))
    assert same(checkpoints.last()[0], state(30))


def test_a_full_disk_while_best_is_replaced_keeps_the_old_one(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints.save_best(3, {}, {})
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing(FULL))
        with pytest.raises(StorageError):
            checkpoints.save_best(9, {}, {})
    best = checkpoints.best()
    assert best is not None and best.step == 3


def test_a_number_that_is_no_json_is_a_bug_and_leaves_nothing(place: Path, checkpoints: Checkpoints) -> None:
    before = folders(place)
    with pytest.raises(ValueError):
        checkpoints.save(State(30, {}, {}, {"metric": float("nan")}))
    assert folders(place) == before


def test_the_manifest_is_written_last(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    real = Path.write_text
    monkeypatch.setattr(Path, "write_text", lambda self, *a, **m: (written.append(self.name), real(self, *a, **m))[1])
    where = Checkpoints(place, "f").save(state(1))
    assert written == ["state.json", "manifest.json"]
    assert set(json.loads((where / "manifest.json").read_text())["files"]) == set(FILES) - {"manifest.json"}


def test_restore_copies_and_refuses_what_does_not_fit() -> None:
    model = nn.Linear(3, 2)
    parameters = dict(model.named_parameters())
    saved = {n: torch.randn_like(p) for n, p in parameters.items()}
    restore(parameters, {**saved, "more": torch.zeros(1)})
    assert all(torch.equal(p, saved[n]) and p.requires_grad for n, p in parameters.items())
    before = model.weight.detach().clone()
    with pytest.raises(RunDamaged) as error:
        restore(parameters, {"weight": torch.zeros(3, 2)})
    assert "weight weight" in str(error.value) and "weight bias" in str(error.value)
    assert torch.equal(model.weight, before)
