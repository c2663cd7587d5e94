"""IA3 finds keys, values and the feed-forward's second product in every family, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_families import UNPACKED, batch_of, build, config_of, plain_scores

from tunewright.adaptations import IA3

BERT = {"attention.self.key": False, "attention.self.value": False, "output.dense": True}
LLAMA = {"self_attn.k_proj": False, "self_attn.v_proj": False, "mlp.down_proj": True}
T5 = {"SelfAttention.k": False, "SelfAttention.v": False, "EncDecAttention.k": False, "EncDecAttention.v": False,
      "DenseReluDense.wo": True}  # fmt: skip
# case -> what a layer's names end in, and whether its input is scaled (else its output); the number of layers
EXPECTED: dict[str, tuple[dict[str, bool], int]] = {
    "bert": (BERT, 3),
    "roberta": (BERT, 3),
    "camembert": (BERT, 3),
    "electra": (BERT, 3),
    "distilbert": ({"attention.k_lin": False, "attention.v_lin": False, "ffn.lin2": True}, 3),
    "modernbert-cls-odd": ({"attn.Wqkv": False, "mlp.Wo": True}, 4),
    "gpt2": ({"attn.c_attn": False, "mlp.c_proj": True}, 3),
    "llama": (LLAMA, 3),
    "mistral": (LLAMA, 3),
    "qwen2": (LLAMA, 3),
    "qwen3": (LLAMA, 3),
    "albert": ({"attention.key": False, "attention.value": False, "ffn_output": True}, 1),
    "deberta-v2": ({"self.key_proj": False, "self.value_proj": False, "output.dense": True}, 3),
}  # fmt: skip


def scaled(model: Any) -> dict[str, bool]:
    from peft.tuners.ia3 import IA3Layer

    return {name: m.is_feedforward for name, m in model.get_base_model().named_modules() if isinstance(m, IA3Layer)}


@pytest.mark.parametrize("case", EXPECTED)
def test_encoders_and_decoders(case: str) -> None:
    ends, layers = EXPECTED[case]
    plain = build(config_of(case))
    batch = batch_of((5, 9, 3))
    with torch.no_grad():
        before = plain_scores(plain, batch)
        model: Any = IA3().attach(plain, 0).eval()
        assert torch.equal(plain_scores(model, batch), before)
    found = scaled(model)
    assert len(found) == layers * len(ends)
    for name, at_input in found.items():
        end = next(end for end in ends if name.endswith(end))
        assert at_input == ends[end] and "attention.output" not in name


@pytest.mark.parametrize("case", ["t5", "mt5", "bart"])
def test_encoder_decoders(case: str) -> None:
    from transformers import AutoConfig, AutoModelForSeq2SeqLM

    family, options = UNPACKED["t5" if case == "mt5" else case]
    config = AutoConfig.for_model("mt5" if case == "mt5" else family, **options)
    model: Any = IA3().attach(AutoModelForSeq2SeqLM.from_config(config), 0)
    found = scaled(model)
    layers = 1 if case == "bart" else 2
    # an encoder's layer has one attention, a decoder's two
    assert len(found) == layers * (3 + 5) and sum(found.values()) == layers * 2
    ends = {".".join(name.split(".")[-2:]) for name in found}
    bart = {"self_attn.k_proj", "self_attn.v_proj", "encoder_attn.k_proj", "encoder_attn.v_proj"}
    if case == "bart":
        assert bart <= ends and {name.rsplit(".", 1)[-1] for name, at in found.items() if at} == {"fc2"}
    else:
        assert ends == set(T5) and all(T5[".".join(name.split(".")[-2:])] == at for name, at in found.items())
