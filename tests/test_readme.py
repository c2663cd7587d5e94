"""What the READMEs show works: recipes parse, commands and options exist, files that are named are there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from tunewright.cli import app
from tunewright.recipe import Recipe, parse

ROOT = Path(__file__).resolve().parents[1]
FILES = [path for path in (ROOT / "README.md", ROOT / "README.zh-CN.md") if path.exists()]
FILES += sorted((ROOT / "docs" / "tasks").glob("*.md")) + [
    path
    for name in ("objectives", "selftest", "generation", "data")
    for path in sorted((ROOT / "docs").glob(f"{name}*.md"))
]
_BLOCK = re.compile(r"^```([\w-]*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
WHOLE: dict[str, Any] = {"data": {"train": "a.csv", "text": "text", "label": "label"}, "model": "toy"}


def blocks(*kinds: str) -> list[Any]:
    out = []
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        for found in _BLOCK.finditer(text):
            if found[1] in kinds:
                line = text[: found.start()].count("\n") + 1
                out.append(pytest.param(found[2], id=f"{path.name}:{line}"))
    return out


def lines_of_commands() -> list[Any]:
    out = []
    for block in blocks("bash", "sh", "console", "shell"):
        text = str(block.values[0]).replace("\\\n", " ")
        for number, line in enumerate(text.splitlines()):
            words = shlex.split(re.sub(r"^\s*\$ ", "", line), comments=True)
            for i, word in enumerate(words):
                if word.rsplit("/", 1)[-1] == "tunewright" and (i == 0 or words[i - 1] in ("&&", "|", ";")):
                    end = next(
                        (j for j in range(i, len(words)) if words[j] in ("&&", "|", ";", ">", ">>", "<")), len(words)
                    )
                    out.append(pytest.param(words[i + 1 : end], id=f"{block.id}+{number + 1}"))
    return out


def test_there_is_something_to_test() -> None:
    assert FILES and (ROOT / "README.md") in FILES


def merged(base: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    out = dict(base)
    for name, value in more.items():
        out[name] = merged(out[name], value) if isinstance(out.get(name), dict) and isinstance(value, dict) else value
    return out


@pytest.mark.parametrize("text", blocks("yaml", "yml") or [pytest.param(None, id="none")])
def test_every_recipe_parses(text: str | None) -> None:
    """A fragment is completed by the least that a recipe needs."""
    if text is None:
        pytest.skip("the READMEs show no recipe")
    value = yaml.safe_load(text)
    assert isinstance(value, dict)
    base = {"model": "toy"} if "tasks" in value else WHOLE
    assert isinstance(parse(merged(base, value)), Recipe)


@pytest.mark.parametrize("words", lines_of_commands() or [pytest.param(None, id="none")])
def test_every_command_exists(words: list[str] | None) -> None:
    if words is None:
        pytest.skip("the READMEs show no command")
    command: Any = typer.main.get_command(app)
    words = list(words)
    while hasattr(command, "commands") and words and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    if hasattr(command, "commands"):
        assert words in (["--help"], []), f"no command {words[:1]}"
        return
    options = {name: p for p in command.params for name in p.opts if name.startswith("-")} | {"--help": None}
    values, given = [], iter(words)
    for word in given:
        if not word.startswith("--"):
            values.append(word)
            continue
        name, equals, _ = word.partition("=")
        assert name in options, f"no option {name}"
        option = options[name]
        if option is not None and not option.is_flag and not equals:
            assert next(given, None) is not None, f"{name} needs a value"
    arguments = [p for p in command.params if not p.opts[0].startswith("-")]
    needed = sum(p.required for p in arguments)
    assert "--help" in words or needed <= len(values) <= len(arguments), f"{len(values)} values for {needed} arguments"
