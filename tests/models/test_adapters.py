"""Adapters of every kind that peft knows open in plain peft with the same scores; those of plain peft open here."""

from __future__ import annotations

import json
import shutil
import socket
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from test_saving import LABELS, base_of, batch, saved
from tiny_families import plain_scores
from torch import Tensor

from tunewright.adaptations import IA3, Full, Lora, Vera
from tunewright.core.errors import ModelError
from tunewright.core.tensors import trainable
from tunewright.models.adapters import outputs
from tunewright.models.foreign import open_adapter, open_model
from tunewright.models.forward import ModelForward
from tunewright.models.loading import Loaded, find, load
from tunewright.models.saving import open_saved, plain_weights, save
from tunewright.models.toy import toy_bert, toy_llama

KINDS = {
    "lora": Lora(rank=3),
    "dora": Lora(rank=3, dora=True, dropout=0.1),
    "orthogonal": Lora(rank=4, init="orthogonal"),
    "pissa": Lora(rank=3, init="pissa"),
    "pissa-patterns": Lora(rank=4, alpha=6.0, init="pissa", dora=True, rank_stabilised=True, top=2,
                           rank_pattern={"*.1.*": 2, "dense": 3}, alpha_pattern={"*.2.*": 3.0}),
    "olora": Lora(rank=3, init="olora"),
    "layers": Lora(rank=3, layers=(0, 2), rank_pattern={"*.2.*": 5}),
    "ia3": IA3(),
    "vera": Vera(rank=16),
}  # fmt: skip
PATTERNS = {
    "gpt2": Lora(rank=4, alpha=6.0, init="pissa", rank_stabilised=True, rank_pattern={"c_proj": 2, "*.1.*": 3}),
    "llama": Lora(rank=4, alpha=6.0, init="olora", dora=True, rank_pattern={"v_proj": 2}, alpha_pattern={"*.1.*": 3.0}),
}
EVERY = [
    pytest.param(case, PATTERNS.get(case, kind) if name == "pissa-patterns" else kind, id=f"{name}-{case}")
    for case in ("bert", "gpt2", "llama", "toy")
    for name, kind in KINDS.items()
    if (case, name) != ("gpt2", "olora") and not (case == "toy" and name in ("layers", "pissa-patterns"))
]


def peft_model(place: Any, folder: Path) -> Any:
    """The classifier as plain transformers and peft open it."""
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.manual_seed(99)  # whatever the base lacks must come from the adapter
    plain = AutoModelForSequenceClassification.from_pretrained(
        place, num_labels=3, dtype=torch.float32, ignore_mismatched_sizes=True
    )
    plain.config.pad_token_id = AutoTokenizer.from_pretrained(folder).pad_token_id
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return PeftModel.from_pretrained(plain, str(folder)).eval()


@torch.no_grad()
def scores_of(model: Any) -> Tensor:
    with (forward := ModelForward(model)).evaluating():
        return forward(batch()).clone()


@pytest.mark.parametrize(("case", "adaptation"), EVERY)
def test_every_kind_opens_in_plain_peft_and_here(case: str, adaptation: Any, tmp_path: Path) -> None:
    """On the base as it was: opening changes none of its weights, also where training had taken a part of them."""
    from transformers import AutoModelForSequenceClassification

    loaded, folder, scores = saved(case, adaptation, tmp_path)
    place = folder / "base" if case == "toy" else loaded.found.place
    plain = peft_model(place, folder)
    with torch.no_grad():
        assert torch.allclose(plain_scores(plain, batch()), scores, atol=2e-5)
    assert torch.allclose(scores_of(open_saved(folder).model), scores, atol=2e-5)
    below, base = plain_weights(plain), AutoModelForSequenceClassification.from_pretrained(place).base_model
    name = base.base_model_prefix
    assert all(torch.equal(below[f"{name}.{n}"], value) for n, value in base.state_dict().items() if "pooler" not in n)


@pytest.mark.parametrize("adaptation", KINDS.values(), ids=KINDS)
def test_the_weights_below_an_adapter_are_the_bases(adaptation: Any) -> None:
    if adaptation in (KINDS["layers"], KINDS["pissa-patterns"]):
        pytest.skip("more layers than the toy has")
    loaded = base_of("toy", Path())
    before = {name: value.clone() for name, value in loaded.model.state_dict().items()}
    model = adaptation.attach(loaded.model, 0)
    with torch.no_grad():
        for parameter in trainable(model).values():
            parameter.add_(0.1)
    after = plain_weights(model)
    assert after.keys() == before.keys()
    split = getattr(adaptation, "init", "") in ("pissa", "olora")
    assert all(torch.allclose(after[n], before[n], atol=1e-6 if split else 0.0) for n in before)


def test_a_merged_adapter_is_not_saved_over_its_base(tmp_path: Path) -> None:
    loaded = base_of("toy", tmp_path)
    model = Lora(rank=2).attach(loaded.model, 0)
    model.merge_adapter()  # type: ignore[operator]
    with pytest.raises(ValueError, match="unmerge"):
        save(loaded, model, tmp_path / "model", adaptation_name="lora", extra={})


@pytest.mark.parametrize("adaptation", [Lora(rank=3), Lora(rank=4, dora=True, init="pissa"), IA3(), Vera(rank=16)])
def test_a_language_model_opens_in_plain_peft(adaptation: Any, tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base, tokenizer = toy_llama(seed=4)
    base.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    loaded = load(find(str(tmp_path / "base")), (), 0, "causal_lm")
    model = adaptation.attach(loaded.model, 0)
    untuned = plain_logits(AutoModelForCausalLM.from_pretrained(tmp_path / "base"))
    with torch.no_grad():
        for parameter in trainable(model).values():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    tuned = plain_logits(model)
    save(loaded, model, tmp_path / "model", adaptation_name="x", extra={"problem": "causal_lm"})
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again = PeftModel.from_pretrained(plain, str(tmp_path / "model"))
    assert not torch.allclose(tuned, untuned, atol=1e-2)
    assert torch.allclose(plain_logits(again), tuned, atol=1e-5)
    assert torch.allclose(plain_logits(open_saved(tmp_path / "model").model), tuned, atol=1e-5)


@torch.no_grad()
def plain_logits(model: Any) -> Tensor:
    tokens = torch.arange(4, 24).view(2, 10)
    logits: Tensor = model.eval()(input_ids=tokens).logits
    return logits.clone()


# adapters that plain peft has trained


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: Any, **options: Any) -> None:
        raise AssertionError("a network connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)


def foreign(
    tmp_path: Path, config: Any = None, *, labels: bool = False, problem: str | None = None, classes: int = 3
) -> Path:
    """A folder as peft's own save_pretrained leaves it, with its base beside it."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForSequenceClassification

    body, tokenizer = toy_bert(classes, seed=3)
    if labels:
        body.config.id2label, body.config.label2id = dict(enumerate(LABELS)), {n: i for i, n in enumerate(LABELS)}
    body.config.problem_type = problem
    body.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    model: Any = AutoModelForSequenceClassification.from_pretrained(tmp_path / "base")
    config = config or LoraConfig(task_type="SEQ_CLS", r=3, target_modules=["query", "value"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = get_peft_model(model, config)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in trainable(model).values():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.3)
    model.save_pretrained(str(tmp_path / "adapter"))
    return tmp_path / "adapter"


def test_an_adapter_of_plain_peft_answers_here(tmp_path: Path, offline: None) -> None:
    folder = foreign(tmp_path)
    opened = open_model(folder, ["no", "maybe", "yes"])
    assert opened.labels == ("no", "maybe", "yes") and opened.card["task"] == "classification"
    assert opened.card["saved_by"] == "peft" and not opened.model.training
    shutil.copy(tmp_path / "base" / "tokenizer.json", folder)
    shutil.copy(tmp_path / "base" / "tokenizer_config.json", folder)
    with torch.no_grad():
        plain = plain_scores(peft_model(tmp_path / "base", folder), batch())
    assert torch.allclose(scores_of(opened.model), plain, atol=1e-6)


@pytest.mark.parametrize("kind", ["PromptTuningConfig", "PrefixTuningConfig", "PromptEncoderConfig"])
def test_virtual_tokens_of_plain_peft_answer_here(kind: str, tmp_path: Path) -> None:
    import peft

    folder = foreign(tmp_path, getattr(peft, kind)(task_type="SEQ_CLS", num_virtual_tokens=4))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tmp_path / "base" / name, folder)
    opened = open_model(folder, LABELS)
    assert opened.limit <= 60
    with torch.no_grad():
        assert torch.allclose(
            scores_of(opened.model), plain_scores(peft_model(tmp_path / "base", folder), batch()), atol=1e-5
        )


OTHERS: dict[str, dict[str, Any]] = {
    "LOHA": {"r": 2}, "LOKR": {"r": 2}, "OFT": {"oft_block_size": 4}, "BOFT": {"boft_block_size": 4}, "HRA": {"r": 2},
    "MISS": {"r": 2}, "FOURIERFT": {"n_frequency": 20}, "RANDLORA": {"r": 2}, "ROAD": {"group_size": 16},
    "LN_TUNING": {"target_modules": ["LayerNorm"]}, "IA3": {"feedforward_modules": []}, "VERA": {"r": 4},
}  # fmt: skip


@pytest.mark.parametrize("kind", OTHERS)
def test_other_kinds_of_plain_peft_answer_here_and_can_be_gone_on_from(kind: str, tmp_path: Path) -> None:
    from peft import PEFT_TYPE_TO_CONFIG_MAPPING

    options = {"target_modules": ["query", "value"], **OTHERS[kind]}
    folder = foreign(tmp_path, PEFT_TYPE_TO_CONFIG_MAPPING[kind](task_type="SEQ_CLS", **options))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tmp_path / "base" / name, folder)
    plain = peft_model(tmp_path / "base", folder)
    with torch.no_grad():
        assert torch.allclose(scores_of(open_model(folder, LABELS).model), plain_scores(plain, batch()), atol=1e-5)
        body = load(find(str(folder)), LABELS, 0).model.bert.state_dict()
        merged = plain.merge_and_unload().bert.state_dict()
    assert body.keys() == merged.keys() and all(torch.allclose(body[n], merged[n], atol=1e-5) for n in body)


def test_labels_come_from_the_bases_own_head(tmp_path: Path) -> None:
    assert open_model(foreign(tmp_path, labels=True)).labels == LABELS


def test_labels_come_from_a_configuration_beside_it(tmp_path: Path) -> None:
    folder = foreign(tmp_path)
    (folder / "config.json").write_text(json.dumps({"id2label": {"0": "a", "1": "b", "2": "c"}}))
    assert open_model(folder).labels == ("a", "b", "c")


@pytest.mark.parametrize("labels", [(), ("yes", "no")])
def test_labels_that_nobody_knows_are_asked_for(labels: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(ModelError) as error:
        open_model(foreign(tmp_path), labels)
    assert "3 scores" in str(error.value) and "--labels" in str(error.value)
    assert ("2 labels" if labels else "nothing says") in str(error.value)


def test_other_tasks_of_a_classifier(tmp_path: Path) -> None:
    several = open_model(foreign(tmp_path / "several", labels=True, problem="multi_label_classification"))
    assert several.card["task"] == "multilabel" and several.card["thresholds"] == [0.5] * 3
    number = open_model(foreign(tmp_path / "number", classes=1))
    assert number.card["task"] == "regression" and number.labels == ("score",)


def test_a_decoder_of_plain_peft(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base, tokenizer = toy_llama(seed=4)
    base.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    plain: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    config = LoraConfig(task_type="CAUSAL_LM", r=2, target_modules="all-linear", init_lora_weights=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = get_peft_model(plain, config)
    tuned = plain_logits(model)
    model.save_pretrained(str(tmp_path / "adapter"))
    opened = open_model(tmp_path / "adapter")
    assert opened.card["task"] == "language_modeling" and opened.card["problem"] == "causal_lm"
    assert torch.allclose(plain_logits(opened.model), tuned, atol=1e-6)
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}</s>{% endfor %}"
    tokenizer.save_pretrained(tmp_path / "adapter")
    assert open_model(tmp_path / "adapter").card["task"] == "chat"


def test_what_keeps_an_adapter_from_opening_is_said(tmp_path: Path, offline: None) -> None:
    from peft import PromptTuningConfig

    folder = foreign(tmp_path)
    place = folder / "adapter_config.json"
    config = json.loads(place.read_text())

    def refused(*words: str) -> None:
        for opening in (lambda: open_model(folder, LABELS), lambda: load(find(str(folder)), LABELS, 0)):
            with pytest.raises(ModelError) as error:
                opening()
            assert all(word in str(error.value) for word in words), str(error.value)

    for change, words in (
        ({"base_model_name_or_path": "someone/a-model"}, ("'someone/a-model' is not on this machine", "download")),
        ({"base_model_name_or_path": str(tmp_path / "gone")}, ("is not on this machine",)),
        ({"base_model_name_or_path": None}, ("names no base model",)),
        ({"peft_type": "NEWEST"}, ("'NEWEST'", "newer peft")),
        ({"peft_type": "XLORA"}, ("XLORA", "peft's own call")),
        ({"alora_invocation_tokens": [1]}, ("peft's own call",)),
        ({"target_modules": ["q_proj"]}, ("does not fit",)),
    ):
        place.write_text(json.dumps({**config, **change}))
        refused(*words)
    for text in ("", "{", "[]", "{}"):
        place.write_text(text)
        refused("adapter_config.json")
    place.write_text(json.dumps(config))
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    refused("pickle")
    (folder / "adapter_model.bin").unlink()
    refused("no adapter_model.safetensors")
    folder = foreign(tmp_path / "prompts", PromptTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=4))
    with pytest.raises(ModelError, match="learnt prompts, which cannot become part"):
        load(find(str(folder)), LABELS, 0)


def test_a_head_that_nobody_has_is_not_made_up(tmp_path: Path) -> None:
    from peft import LoraConfig

    folder = foreign(tmp_path, LoraConfig(r=2, target_modules=["query"]))  # no task_type: peft saves no head
    assert outputs(folder) is None
    assert open_adapter(folder, LABELS).labels == LABELS, "the base's own head"
    body, _ = toy_bert(3, seed=3)
    plain = (tmp_path / "base" / "config.json").read_text()
    body.bert.save_pretrained(tmp_path / "base")
    with pytest.raises(ModelError, match="task_type None"):
        open_adapter(folder, LABELS)
    (tmp_path / "base" / "config.json").write_text(plain)
    with pytest.raises(ModelError, match=r"neither it nor its base has .*classifier"):
        open_adapter(folder, LABELS)
    place = folder / "adapter_config.json"
    place.write_text(json.dumps({**json.loads(place.read_text()), "task_type": "SEQ_CLS"}))
    with pytest.raises(ModelError, match="no head"):
        open_adapter(folder, LABELS)


# further training


def test_a_recipe_goes_on_from_an_adapter(tmp_path: Path) -> None:
    """`model: folder`: the adapter becomes part of the weights; the head is new, because nothing says what its own meant."""
    folder = foreign(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tmp_path / "base" / name, folder)
    merged = peft_model(tmp_path / "base", folder).merge_and_unload()
    found = find(str(folder))
    assert found.adapter == str(folder) and found.place == str(tmp_path / "base") and found.local
    loaded = load(found, LABELS, 0)
    assert type(loaded.model) is type(merged) and all(p.requires_grad for p in loaded.model.parameters())
    for (name, ours), (other, theirs) in zip(loaded.model.named_parameters(), merged.named_parameters(), strict=True):
        assert name == other
        assert torch.allclose(ours, theirs, atol=1e-6) == ("classifier" not in name), name
    before = found.fingerprint()
    weights = folder / "adapter_model.safetensors"
    raw = weights.read_bytes()
    weights.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    assert find(str(folder)).fingerprint()[0] != before[0]


@pytest.mark.parametrize("order", [LABELS, LABELS[::-1]])
def test_the_head_of_our_own_adapter_is_kept_for_the_same_labels(order: tuple[str, ...], tmp_path: Path) -> None:
    _, folder, scores = saved("bert", Lora(rank=2), tmp_path)
    loaded = load(find(str(folder)), order, 5)
    assert loaded.labels == LABELS and loaded.head == "checkpoint"
    assert torch.allclose(scores_of(loaded.model), scores, atol=1e-5)
    other = load(find(str(folder)), ("x", "y"), 5)
    assert other.labels == ("x", "y") and other.head == "new" and other.model.classifier.weight.shape[0] == 2


@pytest.mark.parametrize("adaptation", [Lora(rank=2), IA3(), Full()], ids=["lora", "ia3", "full"])
def test_what_was_trained_on_an_adapter_opens_in_plain_peft(adaptation: Any, tmp_path: Path) -> None:
    from test_saving import trained
    from transformers import AutoModelForSequenceClassification

    first = foreign(tmp_path)
    loaded: Loaded = load(find(str(first)), LABELS, 0)
    model, scores = trained(loaded, adaptation)
    folder = tmp_path / "run" / "model"
    save(loaded, model, folder, adaptation_name="x", extra={})
    assert torch.allclose(scores_of(open_saved(folder).model), scores, atol=1e-5)
    if isinstance(adaptation, Full):
        plain: Any = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    else:
        plain = peft_model(folder / "base", folder)
    with torch.no_grad():
        assert torch.allclose(plain_scores(plain, batch()), scores, atol=1e-5)


def test_the_top_layers_are_those_of_each_stack() -> None:
    """Three layers that read and two that write: the top one is the third and the second."""
    from tiny_families import config_of
    from transformers import AutoModelForSeq2SeqLM

    model = AutoModelForSeq2SeqLM.from_config(config_of("t5", num_layers=3, num_decoder_layers=2))
    learning = trainable(Lora(rank=2, top=1).attach(model, 0))
    assert {".".join(name.split(".")[2:5]) for name in learning} == {"encoder.block.2", "decoder.block.1"}
