"""What holds for every registered component of every family, and what the registry does with anything else."""

from __future__ import annotations

import dataclasses
import importlib
import json
import pkgutil
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import pytest
from annotated_types import Ge
from hypothesis import given, settings
from hypothesis import strategies as st

import tunewright
from tunewright.core import registry
from tunewright.core.errors import RecipeError
from tunewright.core.registry import build, component, dump, members, name_of, number, register

FAMILIES = ("adaptation", "objective", "sampler", "schedule", "update")
for name in ("adaptations", "objectives", "samplers", "schedules", "updates"):
    importlib.import_module(f"tunewright.{name}")
MEMBERS = [(family, name) for family in FAMILIES for name in members(family)]
every = pytest.mark.parametrize(("family", "name"), MEMBERS)


@every
def test_a_member_is_a_frozen_value_that_explains_itself(family: str, name: str) -> None:
    cls = members(family)[name]
    assert dataclasses.is_dataclass(cls) and cls.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert cls.__doc__ and not cls.__doc__.startswith(f"{cls.__name__}("), "the generated docstring says nothing"
    assert len(dataclasses.fields(cls)) <= 12


@every
def test_a_member_is_found_by_its_name_and_written_with_every_option(family: str, name: str) -> None:
    needed = {
        "scaled": {"peak": 1.0},
        "composed": {"parts": ["linear"], "until": []},
        "custom": {"file": "my_loss.py"},
        "factual_consistency": {"model": "nli"},
    }.get(name, {})
    made = build(family, {name: needed})
    assert type(made) is members(family)[name] and name_of(made) == name
    ((key, options),) = dump(made).items()
    assert key == name, "a version is written where it is not the first"
    assert set(options) == {f.name for f in dataclasses.fields(made) if f.init}
    assert build(family, json.loads(json.dumps(dump(made)))) == made
    assert build(family, made) is made
    if not needed:
        assert build(family, name) == made == build(family, {name: None}) == build(family, {name: {}})


@every
def test_an_unknown_option_is_refused_with_the_nearest(family: str, name: str) -> None:
    fields = [f.name for f in dataclasses.fields(members(family)[name])]
    wrong = fields[0] + "x" if fields else "smoothing"
    with pytest.raises(RecipeError) as error:
        build(family, {name: {wrong: 1}}, "here")
    problem = error.value.problems[0]
    assert problem.where == f"here.{name}.{wrong}" and problem.found == "an unknown option"
    if fields:
        assert problem.to_do == f"did you mean {fields[0]!r}?"


@pytest.mark.parametrize("family", FAMILIES)
def test_an_unknown_name_is_refused_with_the_nearest(family: str) -> None:
    known = sorted(members(family))
    with pytest.raises(RecipeError) as error:
        build(family, known[0].upper()[:-1])
    assert f"did you mean {known[0]!r}?" in str(error.value) and ", ".join(known) in str(error.value)


def test_every_module_of_a_family_is_imported_with_it() -> None:
    """A member in a file that its package does not import would be unknown to recipes."""
    for package in ("adaptations", "objectives", "samplers", "schedules", "updates"):
        place = importlib.import_module(f"tunewright.{package}").__path__
        for module in pkgutil.iter_modules(place):
            before = set(registry._versions)
            importlib.import_module(f"tunewright.{package}.{module.name}")
            assert set(registry._versions) == before, f"{package}/{module.name}.py is not imported by its package"
    assert tunewright.__file__


# The registry itself, on a family of the tests' own.


@register("trial", "leaf", version=3)
@dataclass(frozen=True)
class Leaf:
    """size: at least 1."""

    size: Annotated[int, Ge(1)] = 1
    words: tuple[str, ...] = ()


@register("trial", "around")
@dataclass(frozen=True)
class Around:
    """Holds another."""

    strength: float
    inner: Any = component("trial", default=Leaf())
    rate: Any = number(1.0)

    def __post_init__(self) -> None:
        if self.strength == 13:
            raise ValueError("13 brings no luck")


@pytest.fixture(autouse=True, scope="module")
def _forget() -> Any:
    yield
    registry._families.pop("trial")


def test_all_problems_come_at_once_and_name_their_places() -> None:
    spec = {"around": {"strnegth": 1, "inner": {"leaf": {"size": 0, "words": [1, "b"]}}, "rate": {"cosin": {}}}}
    with pytest.raises(RecipeError) as error:
        build("trial", spec, "recipe.trial")
    where = {p.where: p for p in error.value.problems}
    assert set(where) == {
        "recipe.trial.around.strnegth", "recipe.trial.around.strength", "recipe.trial.around.inner.leaf.size",
        "recipe.trial.around.inner.leaf.words.0", "recipe.trial.around.rate",
    }  # fmt: skip
    assert where["recipe.trial.around.strnegth"].to_do == "did you mean 'strength'?"
    assert where["recipe.trial.around.strength"].allowed == "this option is needed"
    assert where["recipe.trial.around.rate"].to_do == "did you mean 'cosine'?"


def test_a_list_is_a_nesting_in_the_visible_order() -> None:
    spec = [{"around": {"strength": 1}}, {"around": {"strength": 2.5}}, {"leaf": {"size": 4}}]
    assert build("trial", spec) == Around(1.0, Around(2.5, Leaf(4)))
    assert build("trial", ["leaf"]) == Leaf()
    assert build("trial", [{"around": {"strength": 1, "inner": "leaf"}}]) == Around(1.0, Leaf())
    assert build("trial", [{"around": {"strength": 1, "inner": None}}, {"leaf": {"size": 4}}]) == Around(1.0, Leaf(4))
    assert build("trial", [{"around": {"strength": 1}}, Leaf(9)]) == Around(1.0, Leaf(9))


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ([], "an empty list"),
        (["leaf", "leaf"], "trial[0].leaf.inner: an unknown option"),
        ([{"around": {"strength": 1}}, "laef"], "trial[1]: there is no trial named 'laef'"),
        (
            [{"around": {"strength": 1, "inner": "leaf"}}, "leaf"],
            "trial[0].around.inner: a component, while another one",
        ),
        ({"leaf@2": {}}, "leaf@3"),
        ("leaf@", "version"),
        ({"around": {"strength": 13}}, "13 brings no luck"),
        ({"around": {"strength": "much"}}, "'much'"),
        ({"around": {"strength": float("nan")}}, "finite"),
        ({"leaf": {}, "around": {}}, "one name with its options"),
        ({"leaf": 3}, "one name with its options"),
        ({}, "one name"),
        (None, "None"),
        (7, "7"),
    ],
)
def test_what_is_wrong_is_said(spec: Any, words: str) -> None:
    if spec == "leaf@":
        assert build("trial", spec) == Leaf()
        return
    with pytest.raises(RecipeError) as error:
        build("trial", spec)
    assert words in str(error.value)


def test_a_version_is_written_and_accepted() -> None:
    assert dump(Leaf()) == {"leaf@3": {"size": 1, "words": []}}
    assert build("trial", dump(Around(2.0))) == Around(2.0)
    assert build("trial", {"around@1": {"strength": 2}}) == Around(2.0)


def test_a_number_may_be_a_schedule() -> None:
    assert build("trial", {"around": {"strength": 1, "rate": 0.5}}).rate == 0.5
    made = build("trial", {"around": {"strength": 1, "rate": {"linear": {"floor": 0.5}}}})
    assert name_of(made.rate) == "linear" and made.rate.floor == 0.5
    assert build("trial", dump(made)) == made


def test_a_member_may_take_its_main_field_s_value_alone() -> None:
    @register("trial", "short")
    @dataclass(frozen=True)
    class Short:
        """A field that is usually the only one."""

        size: Annotated[int, Ge(1)] = 1
        name: str = "n"

        shorthand: ClassVar[str] = "size"

    assert build("trial", {"short": 3}) == build("trial", {"short": {"size": 3}}) == Short(3)
    assert build("trial", {"short@1": 3}) == Short(3) and build("trial", {"short": None}) == Short()
    assert dump(build("trial", {"short": 3})) == {"short": {"size": 3, "name": "n"}}
    assert build("trial", {"around": {"strength": 1, "inner": {"short": 2}}}).inner == Short(2)
    for wrong in (0, "three", [3]):
        with pytest.raises(RecipeError, match=r"trial\.short\.size"):
            build("trial", {"short": wrong})


def test_a_name_is_registered_once() -> None:
    with pytest.raises(ValueError, match="registered twice"):

        @register("trial", "leaf")
        @dataclass(frozen=True)
        class Another:
            """Another."""

    with pytest.raises(ValueError, match="not registered"):
        name_of(3)


NAMES = sorted({name for _, name in MEMBERS} | {"leaf", "around", "adamw@1", "linear@9", "", "@", "x" * 80})
FIELDS = sorted({f.name for family in FAMILIES for cls in members(family).values() for f in dataclasses.fields(cls)})
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(NAMES)
    | st.just(10**400) | st.sampled_from([-1, 0, 1, 0.5, "balanced", "all-linear"])
)  # fmt: skip
keys = st.sampled_from(NAMES + FIELDS) | st.text(max_size=4) | st.integers() | st.none() | st.booleans()
trees = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(keys, inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(NAMES), st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4), max_size=1
        )
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=400)
@given(family=st.sampled_from([*FAMILIES, "trial", "nothing"]), spec=trees)
def test_anything_at_all_is_built_or_refused_with_a_message(family: str, spec: Any) -> None:
    try:
        made = build(family, spec)
    except RecipeError as error:
        assert error.problems and all(p.where and p.found for p in error.problems) and str(error)
    else:
        assert type(made) in members(family).values()
        assert build(family, dump(made)) == made


@settings(deadline=None, max_examples=300)
@given(member=st.sampled_from(MEMBERS), data=st.data())
def test_any_value_of_any_option_is_built_or_refused(member: tuple[str, str], data: st.DataObject) -> None:
    family, name = member
    fields = [f.name for f in dataclasses.fields(members(family)[name])]
    options = data.draw(st.dictionaries(st.sampled_from(fields), trees, max_size=3)) if fields else {}
    try:
        made = build(family, {name: options})
    except RecipeError as error:
        assert all(name in p.where for p in error.problems)
    else:
        assert build(family, json.loads(json.dumps(dump(made)))) == made
