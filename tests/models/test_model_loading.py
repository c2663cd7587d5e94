"""From a name to a model, and every way in which that can fail, said in our own words."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_families import build, config_of

from tunewright.core.errors import ModelError, OutOfMemory
from tunewright.models.loading import Found, find, load, tokenizing
from tunewright.models.toy import toy_bert

LABELS = ("negative", "neutral", "positive")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that save_pretrained wrote, with a head for LABELS."""
    folder = tmp_path_factory.mktemp("models") / "toy"
    model, tokenizer = toy_bert(3, seed=5)
    model.config.id2label, model.config.label2id = dict(enumerate(LABELS)), {n: i for i, n in enumerate(LABELS)}
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "copy"))


def head(model: Any) -> torch.Tensor:
    weight: torch.Tensor = model.classifier.weight.detach()
    return weight


def refused(call: Any, *words: str) -> None:
    with pytest.raises(ModelError) as caught:
        call()
    assert caught.value.exit_code == 4
    for word in words:
        assert word in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_an_empty_folder(tmp_path: Path) -> None:
    refused(lambda: find(str(tmp_path)), "no config.json", "no files")


def test_a_folder_with_other_things(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    refused(lambda: find(str(tmp_path)), "no config.json among notes.txt")


def test_a_pickle_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    refused(lambda: find(str(folder)), "pickle", "safetensors")


def test_no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    refused(lambda: find(str(folder)), "no weights")


def test_a_file_is_no_folder(folder: Path) -> None:
    refused(lambda: find(str(folder / "config.json")), "is a file")


@pytest.mark.parametrize("name", ["minilmm", "MiniLM", "mini-lm", "Toy", "toi"])
def test_a_misspelt_name_is_not_asked_of_the_hub(name: str) -> None:
    refused(lambda: find(name), "not in the catalogue", "did you mean")


@pytest.mark.parametrize(
    "name",
    ["", " ", "./nowhere", "/nowhere/at/all", "~/nowhere-at-all", "~nobody-of-this-name/model", "a/b/c", "a b", "x\0y",
     "C:\\models\\bert", "n" * 5000, "äö/ü ß", "https://hub.example/model", "\n"],
)  # fmt: skip
def test_weird_names(name: str) -> None:
    refused(lambda: find(name))


def test_names_that_may_be_hub_ids() -> None:
    assert find("someone/some-model", "main") == Found("someone/some-model", "someone/some-model", "main")
    assert not find("distilgpt2").local


@pytest.mark.parametrize("name", ["someone/no-such-model-here", "-bad-/..name", "distilgpt2"])
def test_a_hub_id_without_a_network(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    start = time.monotonic()
    refused(lambda: load(find(name), LABELS, 0), name)
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("order", [LABELS, LABELS[::-1]])
def test_the_checkpoints_own_head_is_kept(folder: Path, order: tuple[str, ...]) -> None:
    loaded = load(find(str(folder)), order, seed=1)
    plain, _ = toy_bert(3, seed=5)
    assert loaded.labels == LABELS  # in the head's order, whatever the data's is
    assert loaded.head == "checkpoint"
    assert loaded.limit == 64
    for name, parameter in plain.named_parameters():
        assert torch.equal(loaded.model.get_parameter(name), parameter), name


@pytest.mark.parametrize("labels", [("good", "bad", "so so"), ("a", "b"), ("a", "b", "c", "d")])
def test_a_new_head_is_as_stated(folder: Path, labels: tuple[str, ...]) -> None:
    found = find(str(folder))
    before = torch.random.get_rng_state()
    one, same, other = load(found, labels, 1), load(found, labels, 1), load(found, labels, 2)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert one.head == "new" and one.labels == labels
    assert one.model.config.id2label == dict(enumerate(labels))
    assert head(one.model).shape == (len(labels), 32)
    assert torch.equal(head(one.model), head(same.model))
    assert not torch.allclose(head(one.model), head(other.model))
    assert not one.model.classifier.bias.any()
    plain, _ = toy_bert(3, seed=5)
    assert torch.equal(one.model.bert.pooler.dense.weight, plain.bert.pooler.dense.weight)


def test_the_spread_of_a_new_head(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "initializer_range": 0.5}))
    weights = head(load(find(str(folder)), [f"c{i}" for i in range(100)], 0).model)
    assert abs(float(weights.std()) - 0.5) < 5 * 0.5 / (2 * weights.numel()) ** 0.5
    assert abs(float(weights.mean())) < 5 * 0.5 / weights.numel() ** 0.5


def test_a_body_without_a_head_or_pooler(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    kept = {n.removeprefix("bert."): w for n, w in weights.items() if "pooler" not in n and "classifier" not in n}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    one, same = (load(find(str(folder)), LABELS, 3) for _ in range(2))
    assert one.head == "new"
    assert {n.rsplit(".", 1)[0] for n in one.model.new_parameters} == {"bert.pooler.dense", "classifier"}
    assert torch.equal(one.model.bert.pooler.dense.weight, same.model.bert.pooler.dense.weight)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5000])


def noise(path: Path) -> None:
    path.write_bytes(b"\xff" * 300)


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("harm", [cut, noise, empty, Path.unlink], ids=lambda f: f.__name__)
@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json", "config.json"])
def test_damaged_files(folder: Path, file: str, harm: Any) -> None:
    harm(folder / file)
    refused(lambda: load(find(str(folder)), LABELS, 0), str(folder))


def test_weights_of_another_model(folder: Path) -> None:
    build(config_of("gpt2")).save_pretrained(folder / "other")
    shutil.copy(folder / "other" / "model.safetensors", folder / "model.safetensors")
    refused(lambda: load(find(str(folder)), LABELS, 0), "do not fit its config.json")


def test_weights_of_another_width(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "intermediate_size": 96}))
    refused(lambda: load(find(str(folder)), LABELS, 0), "another shape")


def test_a_tokenizer_that_is_larger_than_the_model(folder: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["superfluous"])
    tokenizer.save_pretrained(folder)
    refused(lambda: load(find(str(folder)), LABELS, 0), "embeddings")


def test_no_text_model(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "no-such-thing"}))
    refused(lambda: load(find(str(folder)), LABELS, 0), "no-such-thing")


def test_too_little_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import AutoModelForSequenceClassification

    def full(*args: Any, **options: Any) -> None:
        raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(AutoModelForSequenceClassification, "from_pretrained", full)
    with pytest.raises(OutOfMemory):
        load(find(str(folder)), LABELS, 0)


@pytest.mark.parametrize("special", [{"eos_token": "[SEP]"}, {}])
def test_a_decoder_without_a_padding_token_gets_one(tmp_path: Path, special: dict[str, str]) -> None:
    from transformers import PreTrainedTokenizerFast

    _, tokenizer = toy_bert()
    size = len(tokenizer)
    build(config_of("llama", vocab_size=size, pad_token_id=None)).save_pretrained(tmp_path)
    plain = PreTrainedTokenizerFast(tokenizer_object=tokenizer._tokenizer, unk_token="[UNK]", padding_side="left",
                                    **special)  # fmt: skip
    assert plain.pad_token is None
    plain.save_pretrained(tmp_path)
    loaded = load(find(str(tmp_path)), LABELS, 0)
    assert loaded.tokenizer.pad_token == special.get("eos_token", "[UNK]")
    assert loaded.model.config.pad_token_id == loaded.tokenizer.pad_token_id
    assert loaded.tokenizer.padding_side == "right"
    assert loaded.head == "new"


def test_the_toy() -> None:
    one, same, other = (load(find("toy"), LABELS, seed) for seed in (0, 0, 1))
    assert torch.equal(head(one.model), head(same.model))
    assert not torch.equal(head(one.model), head(other.model))
    assert one.model.config.id2label == dict(enumerate(LABELS))
    assert find("toy").fingerprint() == find("toy").fingerprint()


def test_fingerprints_follow_the_files(folder: Path) -> None:
    before = find(str(folder)).fingerprint()
    assert find(str(folder)).fingerprint() == before
    (folder / "vocab.txt").write_text("x")
    tokenizer = find(str(folder)).fingerprint()
    assert tokenizer[0] == before[0] and tokenizer[1] != before[1]
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    assert find(str(folder)).fingerprint()[0] != before[0]


def test_tokenizing() -> None:
    tokenizer = load(find("toy"), LABELS, 0).tokenizer
    from tunewright.bundled import toy_vocabulary

    words = list(toy_vocabulary())
    texts = [" ".join(words[:3]), " ".join(words[:12]), ""]
    ids, types, full = tokenizing(tokenizer)(texts, None, 8)
    assert full == [5, 14, 2]
    assert [len(row) for row in ids] == [5, 8, 2]
    assert ids[1][-1] == tokenizer.sep_token_id  # cut texts keep their last special token
    assert types is None
    ids, types, full = tokenizing(tokenizer)(texts[:1], [words[4]], 8)
    assert types == [[0, 0, 0, 0, 0, 1, 1]] and full == [7]
