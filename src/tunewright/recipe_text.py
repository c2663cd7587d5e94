"""YAML as people write recipes, and `key=value` changes to it. Knows nothing of what the keys mean."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from tunewright.core.errors import Problem, RecipeError, closest, listed


class _Loader(yaml.SafeLoader):
    """YAML that refuses a key given twice, where the first would be lost without a word, and values inside themselves."""

    def get_single_data(self) -> Any:
        node = self.get_single_node()
        return None if node is None else self.construct_object(node, deep=True)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            name = self.construct_object(key_node, deep=True)
            if isinstance(name, str) and name in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {name!r} stands twice", key_node.start_mark
                )
            if isinstance(name, str):
                seen.add(name)
        return super().construct_mapping(node, deep)


_NOT_YAML = (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, RecursionError)
"""A scalar that is not what its tag says (`!!int ""`) raises whatever PyYAML happens to meet."""


def load(path: Path) -> Any:
    """The values in a YAML file.

    Raises:
        RecipeError: the file is missing or not YAML.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        near = [p.name for p in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
        raise RecipeError(
            Problem(where=str(path), found="there is no such file",
                    allowed=listed(sorted(near)) or "a recipe in YAML",
                    to_do=closest(path.name, near) or "`tunewright init FILE` writes one")
        ) from None  # fmt: skip
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(Problem(where=str(path), found=f"it cannot be read: {error}")) from error
    try:
        value = yaml.load(text, _Loader)
    except _NOT_YAML as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}, line {mark.line + 1}, column {mark.column + 1}" if mark else str(path)
        what = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise RecipeError(
            Problem(where=place, found=f"not YAML: {what}", to_do="check indentation and quotes")
        ) from error
    return value or {}


def changed(value: Any, changes: Sequence[str]) -> Any:
    """`value` with changes such as `training.epochs=1` or `adaptation={lora: {rank: 4}}` applied.

    Raises:
        RecipeError: a change without `=`, or into something that has no keys.
    """
    problems = []
    value = json.loads(json.dumps(value, default=str)) if changes else value
    for change in changes:
        path, found, text = change.partition("=")
        if not found or not path.strip():
            problems.append(Problem(where=f"--set {change}", found="no key=value", allowed="training.epochs=1"))
            continue
        try:
            new = yaml.load(text, _Loader)
        except _NOT_YAML as error:
            problems.append(Problem(where=f"--set {change}", found=f"not YAML: {str(error).partition(chr(10))[0]}"))
            continue
        place = value
        *parents, last = path.strip().split(".")
        for name in parents:
            if not isinstance(place, dict):
                break
            if isinstance(place.get(name), str):
                place[name] = {"name" if name == "model" else place[name]: place[name] if name == "model" else {}}
            place = place.setdefault(name, {})
        if isinstance(place, dict):
            place[last] = new
        else:
            problems.append(
                Problem(where=f"--set {change}", found=f"{path} has no keys", allowed="a key of the recipe")
            )
    if problems:
        raise RecipeError(*problems)
    return value
