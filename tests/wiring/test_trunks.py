"""What frozen layers make of the texts, kept for a whole run and for the next."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from toy_runs import RECIPE, TASKS, lay, lines, merged

from tunewright.core.errors import RecipeError
from tunewright.fitting import Fit, fit, prepare_fit
from tunewright.kinds import Encoded, begin
from tunewright.models.loading import find
from tunewright.recipe import parse
from tunewright.running import run
from tunewright.training import Checkpoints

TOP = {"model": {"name": "toy", "precision": "float32"}, "adaptation": {"frozen": {"top": 1}}}


def probabilities(run_folder: Path) -> list[list[float]]:
    return [list(row["scores"]) for row in lines(run_folder / "predictions" / "tuned.test.jsonl") if "scores" in row]


def carried_out(at: Path, name: str, **changes: Any) -> Path:
    """A run of the toy's recipe, in `at`/runs/`name`."""
    lay(at, **merged(TOP, changes))
    run(at / "toy.yaml", folder=at / "runs" / name)
    return at / "runs" / name


def files(at: Path) -> dict[str, int]:
    return {p.name: p.stat().st_size for p in (at / "trunks").rglob("*.safetensors")}


def near(one: list[list[float]], two: list[list[float]]) -> bool:
    return all(abs(a - b) < 1e-4 for x, y in zip(one, two, strict=True) for a, b in zip(x, y, strict=True))


@pytest.mark.parametrize("top", [0, 1])
def test_a_second_recipe_goes_on_from_what_the_first_left(top: int, tmp_path: Path) -> None:
    disk = {"adaptation": {"frozen": {"top": top}}, "training": {"trunk": {"keep": "disk", "folder": "trunks"}}}
    first = carried_out(tmp_path, "first", **disk)
    kept = files(tmp_path)
    assert len(kept) == 3  # one file a split
    other = merged(disk, {"training": {"rate": 0.02, "epochs": 3}})
    second = carried_out(tmp_path, "second", **other)
    assert files(tmp_path) == kept, "the second run computed again what the first had kept"
    plain = carried_out(tmp_path, "plain", **merged(other, {"training": {"trunk": {"keep": "off"}}}))
    assert near(probabilities(second), probabilities(plain))
    assert not near(probabilities(second), probabilities(first))
    for path in (tmp_path / "trunks").rglob("*.safetensors"):
        raw = bytearray(path.read_bytes())
        raw[-500] ^= 1
        path.write_bytes(raw)
    again = carried_out(tmp_path, "again", **other)
    assert near(probabilities(again), probabilities(plain))
    noted = [json.loads((folder / "run.json").read_text())["trunk"] for folder in (first, second, plain, again)]
    assert [facts["damaged_files"] for facts in noted] == [0, 0, 0, 2]  # the training and the validation texts'
    assert noted[0]["computed"] == noted[0]["entries"] > noted[1]["computed"] == 0
    assert [facts["kept"] for facts in noted] == ["disk", "disk", None, "disk"]


def test_keeping_is_no_part_of_what_a_run_is(tmp_path: Path) -> None:
    """A run goes on, or is found finished, however it keeps what frozen layers make."""
    done = carried_out(tmp_path, "run")
    before = (done / "history.jsonl").read_bytes()
    carried_out(tmp_path, "run", training={"trunk": {"keep": "off", "limit": "1MB"}})
    assert (done / "history.jsonl").read_bytes() == before
    assert json.loads((done / "run.json").read_text())["status"] == "finished"


def job_of(at: Path, **changes: Any) -> Fit:
    lay(at, **changes)
    recipe = parse(merged(merged(RECIPE, TOP), changes))
    from tunewright.data import gather, prepare

    options = recipe.options(at)
    splits = prepare(gather(options), options, recipe.seed).splits
    kind = begin(recipe, find(recipe.model.name), splits)
    training, held = kind.encode(splits["train"]), kind.encode(splits["validation"], False)
    return prepare_fit(recipe, kind, training.examples, Encoded(held.records, held.examples))


def computed(job: Fit, at: Path) -> int:
    for _ in fit(job, Checkpoints(at / "checkpoints", "x")):
        pass
    found: int = job.forward.trunk.computed
    return found


def test_each_text_is_computed_once(tmp_path: Path) -> None:
    """Training texts and validation texts, over three epochs and three validations."""
    job = job_of(tmp_path, training={"epochs": 3})
    texts = len(job.windows.lengths) + len(job.validation.examples)
    assert computed(job, tmp_path) == texts
    off = job_of(tmp_path, training={"epochs": 3, "trunk": {"keep": "off"}})
    assert computed(off, tmp_path / "off") == 3 * len(off.windows.lengths)


UNFREEZING = {"epochs": 3, "update": {"layerwise": {"unfreeze": 0.8}}}


@pytest.mark.parametrize(
    "changes", [{"training": {"epochs": 1}}, {"adaptation": "full"}, {"adaptation": "full", "training": UNFREEZING}]
)
def test_nothing_is_kept_where_that_is_of_no_use(changes: dict[str, Any], tmp_path: Path) -> None:
    job = job_of(tmp_path, **changes)
    computed(job, tmp_path)
    assert job.forward.trunk.kept is None


def test_gradual_unfreezing(tmp_path: Path) -> None:
    """The same losses whether what lies below is kept at each stage or computed each time; both spare its graph."""
    found = []
    for keep in ("auto", "memory"):
        trunk = {"training": merged(UNFREEZING, {"trunk": {"keep": keep}})}
        job = job_of(tmp_path, adaptation="full", **trunk)
        layers, depths, losses = job.forward.trunk.layers, list[int](), list[float]()
        for happening in fit(job, Checkpoints(tmp_path / keep, "x")):
            if hasattr(happening, "loss"):
                losses.append(happening.loss)
                depths.append(layers.frozen())
        assert depths == sorted(depths, reverse=True) and set(depths) == {2, 1, 0}
        assert all(module.training for module in job.model.modules())
        found.append(losses)
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def test_a_run_says_what_it_does_not_drop(tmp_path: Path) -> None:
    done = carried_out(tmp_path, "run")
    notes = json.loads((done / "run.json").read_text())["changed_method"]
    assert any("no dropout in what is frozen" in note and "1 layer" in note for note in notes)
    full = carried_out(tmp_path, "full", adaptation="full")
    notes = json.loads((full / "run.json").read_text())["changed_method"]
    assert not any("frozen" in note for note in notes)


@pytest.mark.parametrize(("given", "bytes_"), [("2GB", 2 * 10**9), ("1.5 MiB", 3 << 19), (4096, 4096), ("100", 100)])
def test_sizes(given: Any, bytes_: int) -> None:
    recipe = parse(merged(RECIPE, {"training": {"trunk": {"limit": given}}}))
    assert recipe.training.trunk.limit == bytes_
    assert parse(recipe.dump()).training.trunk == recipe.training.trunk


@pytest.mark.parametrize("given", ["much", "2 GBs", -1, "1e400GB", [1]])
def test_sizes_that_are_none(given: Any) -> None:
    with pytest.raises(RecipeError) as error:
        parse(merged(RECIPE, {"training": {"trunk": {"limit": given}}}))
    assert "training.trunk.limit" in str(error.value)


@pytest.mark.parametrize("task", ["token_classification", "chat", "preference", "reward", "language_modeling"])
def test_other_tasks(task: str, tmp_path: Path) -> None:
    """With the trunk kept and without, a run of every task ends at the same losses."""
    found = {}
    for keep in ("memory", "off"):
        lay(tmp_path, **merged(merged(TASKS[task], TOP), {"training": {"trunk": {"keep": keep}}}))
        run(tmp_path / "toy.yaml", folder=tmp_path / keep)
        found[keep] = [row["loss"] for row in lines(tmp_path / keep / "history.jsonl")]
    assert found["memory"] == pytest.approx(found["off"], rel=1e-4)
