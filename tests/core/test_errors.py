"""Errors: every problem at once, a code of its own for each way to recover."""

from __future__ import annotations

import json

import pytest

from tunewright.core import errors
from tunewright.core.errors import Problem, RecipeError, TunewrightError, closest, listed

KINDS = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, TunewrightError)]


def test_the_tree_and_its_exit_codes_are_as_they_are_drawn() -> None:
    assert {c.__name__: c.exit_code for c in KINDS} == {
        "TunewrightError": 1, "RecipeError": 2, "DataError": 3, "ModelError": 4, "OutOfMemory": 5, "RunDamaged": 6,
        "StorageError": 7, "NotFinite": 8, "Interrupted": 130,
    }  # fmt: skip
    assert len({c.kind for c in KINDS}) == len(KINDS)
    assert errors.__doc__ is not None
    for cls in KINDS:
        (line,) = [line for line in errors.__doc__.splitlines() if cls.__name__ in line.split()]
        assert (
            str(cls.exit_code) in line.split() or f"code {cls.exit_code}" in line or line.endswith(str(cls.exit_code))
        )
        assert cls.__doc__


def test_a_message_says_where_what_is_allowed_and_what_to_do() -> None:
    problem = Problem(where="training.rate", found="-1", allowed="above 0", to_do="try 1e-5")
    assert str(problem) == "training.rate: -1\n  allowed: above 0\n  to do:   try 1e-5"
    assert str(Problem(where="a", found="b")) == "a: b"


def test_all_problems_are_in_the_message_and_in_the_json() -> None:
    error = RecipeError(Problem(where="a", found="b"), Problem(where="c", found="ü", allowed="e", to_do="f"))
    assert str(error) == "a: b\nc: ü\n  allowed: e\n  to do:   f"
    assert json.loads(json.dumps(error.as_json())) == {
        "error": "recipe", "exit_code": 2,
        "problems": [
            {"where": "a", "found": "b", "allowed": "", "to_do": ""},
            {"where": "c", "found": "ü", "allowed": "e", "to_do": "f"},
        ],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("word", "hint"),
    [("labl", "did you mean 'label'?"), ("LABEL ", "did you mean 'label'?"), ("teXt", "did you mean 'Text'?"), ("q", ""),
     ("", "")],
)  # fmt: skip
def test_the_nearest_name_is_offered(word: str, hint: str) -> None:
    assert closest(word, ["label", "Text", "pair"]) == hint
    assert closest(word, []) == ""


def test_long_lists_are_cut_and_say_so() -> None:
    assert listed(["a", "b"]) == "a, b" and listed([]) == ""
    assert listed([str(i) for i in range(20)], 3) == "0, 1, 2 and 17 more"
    assert listed(["a", "b", "c"], 3) == "a, b, c"
