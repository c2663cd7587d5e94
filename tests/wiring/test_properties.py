"""Whatever a file or a recipe holds, `check` ends with findings or an error of its own: never with a traceback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy_runs import RECIPE, lay, merged

from tunewright.checking import check
from tunewright.core.errors import RecipeError, TunewrightError
from tunewright.recipe import Recipe, parse, read, write
from tunewright.starting import start

CODES = {0, 2, 3, 4, 5, 6, 7}
BOUNDED = settings(
    max_examples=60, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip

ATOMS = ["sun", "snow", "rain", "warm", "cold", "wet", ",", ",", "\n", "\n", "\r\n", '"', '""', "\t", ";", " ", "text",
         "label", "é", "â€™", "\ufeff", "\x00", "😀", "a" * 300, "1", "NaN", "{", "}"]  # fmt: skip
files = st.one_of(
    st.binary(max_size=400),
    st.lists(st.sampled_from(ATOMS), max_size=120).map(lambda parts: "".join(parts).encode()),
    st.lists(st.sampled_from(ATOMS), max_size=80).map(lambda parts: ("text,label\n" + "".join(parts)).encode()),
    st.lists(st.tuples(st.sampled_from(ATOMS), st.text(max_size=12), st.sampled_from(["warm", "cold", "wet"])),
             min_size=10, max_size=40)
    .map(lambda rows: ("text,label\n" + "".join(f'"{a} {b}",{c}\n' for a, b, c in rows)).encode("utf-8", "replace")),
)  # fmt: skip

leaves = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.dates(), st.binary(max_size=4),
    st.sampled_from(["adamw", "linear", "lora", "auto", "toy", "csv", "", "a\0b", "~nobody/x", "x" * 300, "latin-1", "no",
                     10**30, -1, 0, 1e308]),
)  # fmt: skip
keys = st.one_of(st.text(max_size=6), st.sampled_from(["rank", "rate", "inner", "lora"]), st.integers())
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(keys, inner, max_size=3),
    ),
    max_leaves=6,
)  # fmt: skip


def places(value: Any, before: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    out = [before] if before else []
    if isinstance(value, dict):
        for name, inner in value.items():
            out += places(inner, (*before, name))
    return out


FULL = parse(RECIPE).dump()
PLACES = places(FULL)


def put(value: dict[str, Any], path: tuple[str, ...], new: Any) -> dict[str, Any]:
    change = new
    for name in reversed(path):
        change = {name: change}
    if isinstance(new, dict):  # a mapping replaces what was there
        holder = value = json.loads(json.dumps(value))
        for name in path[:-1]:
            holder = holder[name]
        holder[path[-1]] = new
        return value
    return merged(value, change)


mutated = st.builds(put, st.just(FULL), st.sampled_from(PLACES), values)


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    lay(tmp_path, rows=45)
    return tmp_path


@given(raw=files)
@BOUNDED
def test_any_file(at: Path, raw: bytes) -> None:
    (at / "any.csv").write_bytes(raw)
    found = check(parse(put(RECIPE, ("data", "train"), "any.csv")), at, at / "run")
    assert found.exit_code in CODES and bool(found.errors) == bool(found.exit_code)
    json.dumps(found.as_json(), allow_nan=False)
    assert not (at / "run").exists()


@given(raw=files)
@BOUNDED
def test_init_writes_recipes_that_parse(at: Path, raw: bytes) -> None:
    (at / "any.csv").write_bytes(raw)
    try:
        path, _ = start("any.csv", at / "any.yaml", model="toy", force=True)
    except TunewrightError as error:
        assert error.exit_code in (2, 3) and error.problems
        return
    assert check(read(path), at).exit_code in CODES


@given(value=mutated)
@settings(BOUNDED, max_examples=150)
def test_any_change_of_a_recipe(at: Path, value: dict[str, Any]) -> None:
    try:
        recipe = parse(value)
    except RecipeError as error:
        assert error.problems and all(p.where and p.found for p in error.problems)
        return
    stable(recipe, at)
    found = check(recipe, at, at / "run")
    assert found.exit_code in CODES
    json.dumps(found.as_json(), allow_nan=False, default=str)


@given(value=st.one_of(values, st.dictionaries(st.sampled_from([*FULL, "x"]), values)))
@settings(BOUNDED, max_examples=150)
def test_anything_for_a_recipe(at: Path, value: Any) -> None:
    path = at / "any.yaml"
    path.write_text(yaml.safe_dump(value, allow_unicode=True), encoding="utf-8")
    try:
        read(path)
    except RecipeError as error:
        assert error.problems
    try:
        read(path, ["seed=1", "training.epochs=1"])
    except RecipeError as error:
        assert error.problems


@given(text=st.one_of(st.text(max_size=80), st.lists(st.sampled_from(
    ["data", "model", ": ", "\n", "  ", "- ", "[", "]", "{", "}", "!!int ", "!!float", "!!bool ", "!!timestamp ", "!!set ",
     "!!binary ", "!!omap ", "!!python/name:os.system", "&a ", "*a", "<<: ", "'", '"', "|", ">", "? ", "~", "%YAML 1.2", "---", "0o7"]),
    max_size=14).map("".join)))  # fmt: skip
@settings(BOUNDED, max_examples=300)
def test_any_text_for_a_recipe(at: Path, text: str) -> None:
    path = at / "any.yaml"
    path.write_bytes(text.encode("utf-8", "replace"))
    for changes in ([], [f"model={text}"], ["model.name=toy"]):
        try:
            read(path, changes)
        except RecipeError as error:
            assert error.problems


def stable(recipe: Recipe, at: Path) -> None:
    """What is written out means the same when it is read, and is written the same."""
    dumped = recipe.dump()
    again = parse(dumped)
    assert again.dump() == dumped and again.fingerprint() == recipe.fingerprint()
    write(recipe, at / "dumped.yaml")
    assert read(at / "dumped.yaml").dump() == dumped


@pytest.mark.parametrize("change", [{}, {"adaptation": "lora"}, {"adaptation": {"frozen": {"top": 1}}},
                                    {"objective": {"cross_entropy": {"class_weights": "balanced", "smoothing": 0.1}}},
                                    {"training": {"rate": "1e-4", "schedule": {"cosine": {"warmup": 0.1}}}},
                                    {"training": {"sampler": {"balanced": {"power": 0.5}}, "clip": None}}])  # fmt: skip
def test_written_out_and_read_again(at: Path, change: dict[str, Any]) -> None:
    stable(parse(merged(RECIPE, change)), at)


NASTY: list[tuple[str, Any]] = [
    *(("data.train", v) for v in ("~nobody/x", "a\0b", "x" * 300, "", ".", "/dev/null", ["toy.csv", "toy.csv"])),
    *(("data.delimiter", v) for v in ("", "ab", "\n", "é", '"')),
    *(("data.encoding", v) for v in ("nonsense", "", "utf-16", "rot13", "a\0b")),
    *(("data.format", v) for v in ("parquet", "arrow", "json", "jsonl", "tsv")),
    *(("data.text", v) for v in ("", "label")), ("data.pair", "text"), ("data.header", False),
    ("data.label_map", {"warm": "cold", "wet": "cold"}), ("data.label_map", {"warm": ""}), ("data.limit", 10**30),
    ("data.shares", {"validation": 0.0, "test": 0.0}), ("data.shares", {"validation": 0.5, "test": 0.4999}),
    *(("training.epochs", v) for v in (float("inf"), float("nan"), 1e308, 1e-300)),
    *((f"training.{n}", 10**k) for n in ("batch", "batch_tokens", "micro_tokens", "steps", "validate_every") for k in (18, 400)),
    *(("seed", v) for v in (2**31, 2**63, 2**64, 10**40)),
    *(("model.name", v) for v in ("a\0b", "", "x" * 300, "~nobody/x", ".", "..", "toy.csv")),
    ("model.max_tokens", 10**400), ("training.rate", 1e308), ("training.clip", 1e-320), ("training.stop.least", 1e308),
    ("training.schedule", {"composed": {}}), ("training.schedule", [["linear"]]), ("training.schedule", None),
    ("adaptation", {"frozen": {"top": 10**9}}), ("adaptation", {"lora": {"targets": "x"}}),
    ("adaptation", {"frozen": {"patterns": ["("]}}), ("folder", "a\0b"), ("folder", "x" * 300), ("folder", "toy.csv"),
    ("evaluation.resamples", 10**12), ("evaluation.baselines", []), ("objective", {"focal": {"gamma": 1e308}}),
]  # fmt: skip


@pytest.mark.parametrize(("place", "value"), NASTY, ids=lambda v: repr(v)[:30])
def test_what_somebody_will_write(at: Path, place: str, value: Any) -> None:
    try:
        recipe = parse(put(FULL, tuple(place.split(".")), value))
    except RecipeError as error:
        assert any(p.where.startswith(place) for p in error.problems)
        return
    found = check(recipe, at, Path(recipe.folder or "run"))
    assert found.exit_code in CODES
    json.dumps(found.as_json(), allow_nan=False)
