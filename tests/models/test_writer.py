"""Writers: a small OpenAI-compatible server on this machine, and a real tiny model in a folder. No other network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fake_writer import Server
from tunewright.core.errors import ModelError, RecipeError
from tunewright.models.writer import Kept, spec_of, writer


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.server.shutdown()
    made.server.server_close()


def spec(server: Server, **more: Any) -> dict[str, Any]:
    return {"address": server.address, "model": "m", **more}


def test_each_prompt_gets_its_own_answer_a_few_at_a_time(server: Server, tmp_path: Path) -> None:
    server.slow = 0.02
    write = writer(spec(server, concurrent=3, temperature=0.2, max_tokens=9), tmp_path)
    prompts = [f"say\nnumber {i} 好" for i in range(12)]
    assert write(prompts) == [f"NUMBER {i} 好" for i in range(12)]
    assert 1 < server.most <= 3
    assert (
        server.asked[0]["model"] == "m" and server.asked[0]["temperature"] == 0.2 and server.asked[0]["max_tokens"] == 9
    )
    assert "Authorization" not in server.heads[0]


def test_what_was_written_is_kept_and_a_killed_run_goes_on(server: Server, tmp_path: Path) -> None:
    write = writer(spec(server, retries=0, concurrent=1), tmp_path)
    server.script = [(200, None, {}), (200, None, {}), (400, {"error": {"message": "too long"}}, {})]
    with pytest.raises(ModelError, match="too long"):
        write(["a", "b", "c", "d"])
    assert write(["a", "b", "c", "d", "a"]) == ["A", "B", "C", "D", "A"]
    (file,) = (tmp_path / ".tunewright" / "written").glob("*.jsonl")
    assert [json.loads(line)["text"] for line in file.read_text().splitlines()].count("A") == 1
    n = len(server.asked)
    with file.open("ab") as half:
        half.write(b'{"prompt": "ab')
    assert writer(spec(server), tmp_path)(["a", "d", "e"]) == ["A", "D", "E"], "another process, a line cut short"
    assert len(server.asked) == n + 1 and len(file.read_text().splitlines()) == 5
    assert writer(spec(server, temperature=0.1), tmp_path)(["a"]) == ["A"] and len(server.asked) == n + 2
    assert writer(spec(server, cache=""), tmp_path)(["a", "b"]) == ["A", "B"] and len(server.asked) == n + 4


def test_what_passes_is_tried_again_and_what_does_not_is_told(server: Server, tmp_path: Path) -> None:
    server.script = [(429, {}, {"Retry-After": "0"}), (503, b"", {"Retry-After": "0"})]
    assert writer(spec(server), tmp_path)(["a"]) == ["A"] and len(server.asked) == 3
    server.script = [(500, {"error": "down"}, {"Retry-After": "0"})] * 2
    with pytest.raises(ModelError, match=r"status 500: down \(2 attempts\)"):
        writer(spec(server, retries=1), tmp_path)(["b"])
    for status, words in ((401, "key_env"), (404, "the model's name"), (302, "no redirect")):
        server.script = [(status, {}, {"Location": "http://127.0.0.1:1/"})]
        with pytest.raises(ModelError, match=words):
            writer(spec(server), tmp_path)(["c"])
    server.script = [(200, {"hello": 1}, {})]
    with pytest.raises(ModelError, match="no chat completion"):
        writer(spec(server), tmp_path)(["d"])
    server.slow = 0.3
    with pytest.raises(ModelError, match="timed out"):
        writer(spec(server, timeout=0.05, retries=0), tmp_path)(["e"])


def test_an_address_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"writer http://127\.0\.0\.1:9/v1/chat/completions"):
        writer({"address": "http://127.0.0.1:9/v1", "model": "m", "retries": 0}, tmp_path)(["a"])


def test_the_key_is_sent_and_shown_nowhere(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "s3cret")
    write = writer(spec(server, key_env="MY_KEY"), tmp_path)
    assert write(["a"]) == ["A"] and server.heads[0]["Authorization"] == "Bearer s3cret"
    server.script = [(403, {}, {})]
    with pytest.raises(ModelError) as error:
        write(["b"])
    assert isinstance(write, Kept)
    kept = "".join(path.read_text() for path in tmp_path.rglob("*.jsonl"))
    assert "s3cret" not in str(error.value) + repr(write) + kept


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "neither a folder and an address"),
        ({"address": "http://x/v1", "folder": "y", "model": "m"}, "both"),
        ({"address": "http://x/v1"}, "writer.model"),
        ({"address": "x/v1", "model": "m"}, "http://"),
        ({"adress": "http://x", "model": "m"}, "did you mean 'address'"),
        ({"address": "http://x", "model": "m", "retries": -1}, "retries"),
        ({"address": "http://x", "model": "m", "key_env": "NO_SUCH_VARIABLE"}, "NO_SUCH_VARIABLE"),
        (3, "a folder, or a mapping"),
        ("http://x/v1", "writer.model"),
    ],
)
def test_a_wrong_writer_is_refused_in_words(given: Any, words: str) -> None:
    with pytest.raises(RecipeError) as error:
        spec_of(given)
    assert words in str(error.value)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such folder"):
        writer("nowhere", tmp_path)


def test_a_model_in_a_folder_writes_and_each_text_is_as_if_alone(shared: Path, tmp_path: Path) -> None:
    given = {"folder": str(shared / "models" / "stories260K"), "max_tokens": 12}
    write = writer(given, tmp_path)
    prompts = ["Once upon a time", "Lily saw a", "word " * 600]
    texts = write(prompts)
    assert texts[0].strip() and texts[1].strip() and texts[2] == "", "no room for an answer is no answer"
    assert writer({**given, "cache": ""}, tmp_path)(prompts[1:2]) == texts[1:2]
    assert writer(given, tmp_path)(prompts[::-1]) == texts[::-1]
