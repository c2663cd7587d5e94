"""What a forward and a generation need to know of virtual tokens: learnt prompts, or learnt keys and values.

Three kinds of models behind the same calls: `Plain` (no virtual tokens), `Prompt` (learnt embeddings before each sequence's
own: prompt tuning, P-tuning), `Prefix` (learnt keys and values before each layer's own: prefix tuning, P-tuning v2). What
is learnt lies in peft's PeftModel, so that peft saves and opens it; peft's own forward is not used.

A prompt is read as tokens: its P rows have the ids -1 to -P, and stand before each sequence in a batch that `read` makes.
So packing, padding, dropout and the sharing of common beginnings know nothing of it. Supervised positions move along.

Axes: S sequences, T tokens, L longest sequence, P virtual tokens, D width, K heads of keys, E head width.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from tunewright.adaptations.virtual_tokens import ENCODERS, SOURCES, layers_of
from tunewright.core.tensors import Batch
from tunewright.models.attention import Packing
from tunewright.models.past import Past, interleaved

_AFTER_PADDING = frozenset({"roberta", "xlm-roberta", "camembert"})


class Plain:
    """A model without virtual tokens, and what the others begin from.

    source, target: places of the model's context that are taken, on the side that reads and on an encoder-decoder's other
    one. first: the position of a sequence's first row. virtual: whether there are virtual tokens. embeds: whether they
    are rows of what is read.
    """

    virtual = embeds = False
    source = target = 0

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.first = inner.config.pad_token_id + 1 if inner.config.model_type in _AFTER_PADDING else 0

    def read(self, batch: Batch) -> Batch:
        """The batch as the model reads it."""
        return batch

    def prompted(self, tokens: Tensor) -> Tensor:
        """(n,) one sequence as the model reads it."""
        return tokens

    def inputs(self, tokens: Tensor, mask: Tensor | None = None) -> dict[str, Any]:
        """Arguments of transformers for tokens of any shape, of which those in `mask` count."""
        return {"input_ids": tokens}

    def padded(self, tokens: Tensor, mask: Tensor) -> dict[str, Any]:
        """As `inputs`, for padded tokens (S, L), with the attention's mask."""
        return {**self.inputs(tokens, mask), "attention_mask": mask.long()}

    def decoder(self, asked: Tensor) -> dict[str, Any]:
        """Arguments of an encoder-decoder's decoder, whose tokens stand where `asked` (S, L) is."""
        return {"attention_mask": asked.long()}

    def packed(self, packing: Packing) -> Packing:
        """The packing with what stands before its keys."""
        return packing

    def past(self) -> Past | None:
        """Learnt keys and values, where there are some."""
        return None


class Prompt(Plain):
    """Learnt embeddings (P, D) before the tokens of each sequence, or of each source."""

    virtual = embeds = True

    def __init__(self, outer: Any) -> None:
        super().__init__(outer.get_base_model())
        self.outer = outer
        self.source = self.count = int(outer.active_peft_config.num_virtual_tokens)

    def rows(self) -> Tensor:
        """(P, D) what is learnt, through its encoder where it has one."""
        return learnt(self.outer)[: self.count]

    def read(self, batch: Batch) -> Batch:
        count, device = self.count, batch.tokens.device
        index = interleaved(batch.lengths, count, device)
        tokens = self.prompted(batch.tokens).roll(-count)[index]
        types = batch.types
        if types is not None:
            types = torch.cat([types, types.new_zeros(count)])[index]
        positions = batch.positions
        if batch.unit == "token" and batch.decoder is None:
            positions = positions + count * (batch.sequences() + 1)
        lengths = tuple(length + count for length in batch.lengths)
        return replace(batch, tokens=tokens, lengths=lengths, positions=positions, types=types)

    def prompted(self, tokens: Tensor) -> Tensor:
        return torch.cat([-1 - torch.arange(self.count, device=tokens.device), tokens])

    def inputs(self, tokens: Tensor, mask: Tensor | None = None) -> dict[str, Any]:
        chosen = torch.ones_like(tokens, dtype=torch.bool) if mask is None else mask
        flat = tokens[chosen]
        own = self.inner.get_input_embeddings()(flat[flat >= 0])
        rows = torch.cat([own, self.rows().to(own)])
        # each real token's place among the real ones; prompt row j stands behind them all
        where = torch.where(flat >= 0, (flat >= 0).cumsum(0) - 1, len(own) - 1 - flat)
        found = rows.index_select(0, where)
        if mask is None:
            return {"inputs_embeds": found.view(*tokens.shape, -1)}
        spread = found.new_zeros(*tokens.shape, found.shape[-1])
        return {"inputs_embeds": spread.masked_scatter(mask[..., None], found)}


class Prefix(Plain):
    """Learnt keys and values before those of each layer; of an encoder-decoder, of its decoder's own attention.

    Tokens stand at positions from P on, as peft and the authors of P-tuning v2 have it.
    """

    virtual = True

    def __init__(self, outer: Any) -> None:
        super().__init__(outer.get_base_model())
        config = outer.active_peft_config
        self.outer, self.kind = outer, str(self.inner.config.model_type)
        self.count, self.submodules = int(config.num_virtual_tokens), int(config.num_transformer_submodules)
        self.heads, self.layers = int(config.num_attention_heads), layers_of(self.inner.config)
        if self.kind in SOURCES:
            self.target = self.count
        else:
            self.source, self.first = self.count, self.first + self.count
        self._order: dict[Any, int] = {}

    def past(self) -> Past:
        flat = learnt(self.outer).to(self.inner.get_input_embeddings().weight.dtype)
        whole = flat.view(self.count, self._entries, self.heads, -1).permute(1, 2, 0, 3)
        # peft lays what it has learnt twice in a row for an encoder-decoder and gives each layer four entries of that:
        # its own keys and values, and two for the attention to the source, which it then leaves out
        step = 2 * self.submodules
        first = [step * layer % self._entries for layer in range(self.layers)]
        keys, values = (tuple(whole[i + side] for i in first) for side in (0, 1))
        return Past(keys, values, self._order)

    @property
    def _entries(self) -> int:
        return 2 * int(self.outer.active_peft_config.num_layers)

    def packed(self, packing: Packing) -> Packing:
        return replace(packing, past=self.past())

    def padded(self, tokens: Tensor, mask: Tensor) -> dict[str, Any]:
        if self.kind in SOURCES:
            return super().padded(tokens, mask)
        if self.kind in ENCODERS:
            places = torch.arange(tokens.shape[1], device=tokens.device)[None] + self.first
            return {**super().padded(tokens, mask), "position_ids": places, "past": self.past()}
        return {"input_ids": tokens, **self._cached(mask)}

    def decoder(self, asked: Tensor) -> dict[str, Any]:
        from transformers.cache_utils import DynamicCache, EncoderDecoderCache

        if self.kind not in SOURCES:
            return super().decoder(asked)
        more = self._cached(asked)
        return {**more, "past_key_values": EncoderDecoderCache(more["past_key_values"], DynamicCache())}

    def _cached(self, mask: Tensor) -> dict[str, Any]:
        """The prefix as transformers' own cache (views; joining it to the tokens' keys copies), and the wider mask."""
        from transformers.cache_utils import DynamicCache

        past, n = self.past(), len(mask)
        cache = DynamicCache([(k.expand(n, -1, -1, -1), v.expand(n, -1, -1, -1))
                              for k, v in zip(past.keys, past.values, strict=True)])  # fmt: skip
        wider = torch.cat([mask.new_ones(n, self.count), mask], 1).long()
        return {"attention_mask": wider, "past_key_values": cache}


def of(outer: Any) -> Plain:
    """What stands before the sequences of a model, which may be one of peft's."""
    config = getattr(outer, "active_peft_config", None) if hasattr(outer, "peft_config") else None
    if config is None or not config.is_prompt_learning:
        return Plain(outer.get_base_model() if hasattr(outer, "get_base_model") else outer)
    kind = str(getattr(config.peft_type, "value", config.peft_type))
    if kind == "PREFIX_TUNING":
        return Prefix(outer)
    if kind in ("PROMPT_TUNING", "P_TUNING"):
        return Prompt(outer)
    raise NotImplementedError(f"virtual tokens of the kind {kind}")


def learnt(outer: Any) -> Tensor:
    """What peft saves as `prompt_embeddings`: (rows, D), or (P, 2 layers K E); made anew by its encoder in training."""
    encoder, config = outer.prompt_encoder[outer.active_adapter], outer.active_peft_config
    weight: Tensor = encoder.embedding.weight
    if config.inference_mode:
        return weight
    with torch.autocast(weight.device.type, enabled=False):
        made: Tensor = encoder(torch.arange(len(weight), device=weight.device)[None])[0]
    return made
