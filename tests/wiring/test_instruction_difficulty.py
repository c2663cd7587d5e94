"""Instruction-following difficulty from the command line and from a recipe, under a model that the user names."""

from __future__ import annotations

import json
from pathlib import Path

from toy_runs import Cli


def test_a_reply_that_fits_its_prompt_is_easier(cli: Cli, shared: Path, tmp_path: Path) -> None:
    rows = [{"question": f"{i} Once upon a time there was a little girl named Lily. She loved to play. One day, Lily",
             "reply": "went to the park with her mom."} for i in range(12)]  # fmt: skip
    rows += [{"question": f"{i} zxq qqv", "reply": "went to the park with her mom."} for i in range(12)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ("data", "score", tmp_path / "rows.jsonl", "--task", "seq2seq", "--text", "question", "--label", "reply")
    said = cli(*words, "--by", "instruction", "--language", shared / "models" / "stories260K", "--json")
    assert said.code == 0, said.err
    found = [row["instruction"] for row in json.loads(said.out)["rows"]]
    assert max(found[:12]) < min(found[12:]), "the prompt helps where it leads to the reply"
    none = cli(*words, "--by", "instruction")
    assert none.code == 3 and "--language" in none.err
