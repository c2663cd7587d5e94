"""What training computes does not depend on how it is computed: for every kind of task, on the toys' rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from tunewright.models.toy import byte_tokenizer
from tunewright.recipe import Recipe, families
from tunewright.selftesting import CHECKS, Result, selftest, toys
from tunewright.tasks import TASKS

TITLES = [*TASKS, "seq2seq, encoder-decoder", "language_modeling, masked"]
DROPPING = {"classification", "multilabel", "regression", "token_classification", *TITLES[-2:]}
TALKING = {"chat", "preference", "reward"}
WRITING = {"chat", "seq2seq", "seq2seq, encoder-decoder"}


@pytest.fixture(scope="module")
def recipes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Recipe]:
    families()
    return dict(toys.recipes(tmp_path_factory.mktemp("toys")))


@pytest.fixture(scope="module")
def results(recipes: dict[str, Recipe]) -> Iterator[dict[str, dict[str, Result]]]:
    """The checks of each title, made when they are asked for."""

    class Made(dict[str, dict[str, Result]]):
        def __missing__(self, title: str) -> dict[str, Result]:
            self[title] = {one.name: one for one in selftest(recipes[title], Path(), title)}
            return self[title]

    yield Made()


def test_every_task_has_a_recipe(recipes: dict[str, Recipe]) -> None:
    assert list(recipes) == TITLES


@pytest.mark.parametrize("name", list(CHECKS))
@pytest.mark.parametrize("title", TITLES)
def test_invariance(title: str, name: str, results: dict[str, dict[str, Result]]) -> None:
    found = results[title][name]
    idle = {"dropout": title not in DROPPING, "chat template": title not in TALKING, "texts": title not in WRITING}
    if idle.get(name):
        assert found.passed is None and found.words
    elif name != "own precision":  # where the machine has no bfloat16 the run is in float32
        assert found.passed is True, found.words
        assert found.figure is None or (found.bound is not None and 0 <= found.figure <= found.bound)
    assert found.passed is not False, found.words


@pytest.mark.parametrize("title", ["chat", "token_classification"])
def test_in_bfloat16(title: str, recipes: dict[str, Recipe]) -> None:
    recipe = recipes[title]
    narrow = recipe.model_copy(update={"model": recipe.model.model_copy(update={"precision": "bfloat16"})})
    found = {one.name: one for one in selftest(narrow)}["own precision"]
    assert found.passed is True and found.figure and found.bound, found.words
    assert 1e-4 < found.figure < found.bound < 0.1


@pytest.mark.parametrize(
    "changes",
    [
        {"adaptation": {"lora": {"rank": 2, "dropout": 0.2}}},
        {"adaptation": {"frozen": {"top": 1}}},
        {"objective": {"r_drop": {"weight": 0.5}}},
    ],
    ids=["lora", "frozen", "r_drop"],
)
def test_with_other_methods(changes: dict[str, object], recipes: dict[str, Recipe]) -> None:
    found = list(selftest(recipes["classification"].model_copy(update=changes)))
    assert [one.words for one in found if one.passed is False] == []
    assert next(one for one in found if one.name == "dropout").passed


@pytest.mark.parametrize("objective", ["kto", "orpo", "simpo", "ipo"])
def test_with_other_preferences(objective: str, recipes: dict[str, Recipe]) -> None:
    found = list(selftest(recipes["preference"].model_copy(update={"objective": objective})))
    assert [one.words for one in found if one.passed is False] == []


@pytest.mark.parametrize("objective", ["unlikelihood", "diversity", {"minimum_risk": {"samples": 2}}], ids=str)
def test_with_objectives_of_texts(objective: object, recipes: dict[str, Recipe]) -> None:
    found = list(selftest(recipes["seq2seq"].model_copy(update={"objective": objective})))
    assert [one.words for one in found if one.passed is False] == []


def test_what_a_model_drops_past_its_modules(recipes: dict[str, Recipe], tmp_path: Path) -> None:
    """BART calls torch.nn.functional.dropout itself: its masks are keyed by example all the same."""
    from transformers import BartConfig, BartForConditionalGeneration

    tokenizer = byte_tokenizer()
    config = BartConfig(
        vocab_size=len(tokenizer), d_model=16, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=24, decoder_ffn_dim=24, max_position_embeddings=512, pad_token_id=0,
        bos_token_id=1, eos_token_id=2, decoder_start_token_id=2, forced_eos_token_id=None,
    )  # fmt: skip
    BartForConditionalGeneration(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    given = recipes["seq2seq"]
    model = given.model.model_copy(update={"name": str(tmp_path), "precision": "float32"})
    found = {one.name: one for one in selftest(given.model_copy(update={"model": model}))}
    assert [one.words for one in found.values() if one.passed is False] == []
    assert found["dropout"].passed and F.dropout.__module__ == "torch.nn.functional"


def test_a_gradient_that_is_small_beside_its_parts(recipes: dict[str, Recipe], tmp_path: Path) -> None:
    """A new head scores both replies nearly alike: float32 rounds the difference, and the bound says so."""
    from transformers import ElectraConfig, ElectraForMaskedLM

    tokenizer = byte_tokenizer()
    config = ElectraConfig(
        vocab_size=len(tokenizer), hidden_size=16, embedding_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=24, max_position_embeddings=512, pad_token_id=0,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        ElectraForMaskedLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    given = recipes["reward"]
    model = given.model.model_copy(update={"name": str(tmp_path)})
    found = {one.name: one for one in selftest(given.model_copy(update={"model": model}))}
    assert [one.words for one in found.values() if one.passed is False] == []
    one = found["accumulation"]
    assert one.figure and one.bound and 1e-5 < one.figure < one.bound <= 1e-3 and "rounding shows" in one.words
