"""Models small enough for a laptop's lap: deterministic, with random weights, for tests and first steps.

`Toy` is plain PyTorch behind the Forward protocol, for the contract suites of the techniques: it scores examples or
tokens, packed or padded, in any precision. `toy_bert` is a real BERT of transformers with a word-level tokenizer, for
whole runs in seconds (`model: toy`).
"""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tunewright.bundled import toy_vocabulary
from tunewright.core.tensors import Batch
from tunewright.models.dropout import Draws, KeyedDropout

VOCABULARY, WIDTH, HEADS, DEPTH = 40, 16, 2, 2


class _Block(nn.Module):
    def __init__(self, p: float, site: int, draws: Draws) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.query, self.key, self.value, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.up, self.down = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)
        self.drop = KeyedDropout(p, site, draws)

    def forward(self, x: Tensor, allowed: Tensor) -> Tensor:
        """x (B, L, D), allowed (B, L) -> (B, L, D); every query sees its own example, itself and what came before."""
        n, length, _ = x.shape
        y = self.norm1(x)
        q, k, v = (f(y).view(n, length, HEADS, -1).transpose(1, 2) for f in (self.query, self.key, self.value))
        mask = torch.ones(length, length, dtype=torch.bool).tril() & allowed[:, None, None]
        mask = mask | torch.eye(length, dtype=torch.bool)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).reshape(n, length, WIDTH)
        x = x + self.drop(self.out(y))
        out: Tensor = x + self.drop(self.down(F.gelu(self.up(self.norm2(x)))))
        return out


class Toy(nn.Module):
    """A two-layer decoder, 16 wide, as a Forward. `classes` scores at examples' last tokens or at tokens."""

    def __init__(
        self, classes: int = 3, seed: int = 0, p: float = 0.0, layout: Literal["packed", "padded"] = "packed"
    ) -> None:
        super().__init__()
        self.draws, self.layout = Draws(), layout
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.embed, self.where = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(64, WIDTH)
            self.layers = nn.ModuleList(_Block(p, site, self.draws) for site in range(DEPTH))
            self.norm, self.classifier = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, classes)

    def forward(self, batch: Batch, nudge: Tensor | None = None) -> Tensor:
        return self.scores(self.states(batch, nudge))

    def scores(self, states: Tensor) -> Tensor:
        scores: Tensor = self.classifier(states)
        return scores

    def cost(self, states: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        return F.cross_entropy(self.scores(states), targets, label_smoothing=smoothing, reduction="none")

    def embeddings(self) -> Tensor:
        return self.embed.weight

    def states(self, batch: Batch, nudge: Tensor | None = None) -> Tensor:
        lengths = batch.lengths
        x = self.embed(batch.tokens)
        if nudge is not None:
            x = x + nudge
        if self.layout == "packed":  # one example at a time: the slow, obvious reference
            bounds = torch.tensor((0, *lengths)).cumsum(0).tolist()
            parts = []
            for i, length in enumerate(lengths):
                self.draws.begin(
                    None if batch.keys is None else batch.keys[i // batch.sides : i // batch.sides + 1],
                    torch.zeros(length, dtype=torch.int64),
                    torch.arange(length),
                )
                parts.append(self._body(x[None, bounds[i] : bounds[i + 1]], torch.ones(1, length, dtype=torch.bool))[0])
            hidden = torch.cat(parts)
        else:
            longest = max(lengths)
            allowed = torch.arange(longest)[None] < torch.tensor(lengths)[:, None]
            padded = x.new_zeros(len(lengths), longest, WIDTH).masked_scatter(allowed[..., None], x)
            owners = torch.arange(len(lengths)).repeat_interleave(longest)
            self.draws.begin(batch.keys, owners // batch.sides, torch.arange(longest).repeat(len(lengths)))
            hidden = self._body(padded, allowed)[allowed]
        if batch.unit != "token":
            hidden = hidden[batch.ends() - 1]
        chosen: Tensor = self.norm(hidden[batch.positions])
        return chosen

    def _body(self, x: Tensor, allowed: Tensor) -> Tensor:
        x = x + self.where.weight[: x.shape[1]]
        for layer in self.layers:
            x = layer(x, allowed)
        return x

    def losses(self, batch: Batch, nudge: Tensor | None = None, smoothing: float = 0.0) -> Tensor:
        return self.cost(self.states(batch, nudge), batch.targets, smoothing)

    def nudge_like(self, batch: Batch) -> Tensor:
        return torch.zeros(len(batch.tokens), WIDTH, dtype=self.embed.weight.dtype)


def toy_bert(classes: int = 3, seed: int = 0, kind: str = "") -> tuple[Any, Any]:
    """A BERT of two layers, 32 wide, and its word-level tokenizer over the toy data set's words.

    Args:
        kind: TokenClassification or MaskedLM, or nothing for a classifier of texts.
    """
    import transformers
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.normalizers import Lowercase
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing
    from transformers import BertConfig, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(["[MASK]"] if kind == "MaskedLM" else []), *toy_vocabulary()]
    inner = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    inner.normalizer, inner.pre_tokenizer = Lowercase(), Whitespace()
    inner.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        model_max_length=64, model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **({"mask_token": "[MASK]"} if kind == "MaskedLM" else {}),
    )  # fmt: skip
    config = BertConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=64, num_labels=classes, pad_token_id=0,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = getattr(transformers, f"BertFor{kind or 'SequenceClassification'}")(config)
    return model, tokenizer


def byte_tokenizer() -> Any:
    """A piece for each byte, and <pad>, <s>, </s>: writes any text, knows no words."""
    from tokenizers import Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    special = ["<pad>", "<s>", "</s>"]
    pieces = [*special, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    inner = Tokenizer(BPE(vocab={piece: i for i, piece in enumerate(pieces)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", bos_token="<s>", eos_token="</s>", model_max_length=512,
        clean_up_tokenization_spaces=False,
    )  # fmt: skip


def toy_llama(seed: int = 0) -> tuple[Any, Any]:
    """A Llama of two layers, 32 wide, over bytes."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = byte_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
        intermediate_size=64, max_position_embeddings=512, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        tie_word_embeddings=True,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LlamaForCausalLM(config), tokenizer


def toy_t5(seed: int = 0) -> tuple[Any, Any]:
    """A T5 of two layers on each side, 32 wide, over bytes."""
    from transformers import T5Config, T5ForConditionalGeneration

    tokenizer = byte_tokenizer()
    config = T5Config(
        vocab_size=len(tokenizer), d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2, pad_token_id=0,
        eos_token_id=2, decoder_start_token_id=0,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return T5ForConditionalGeneration(config), tokenizer
