"""Hugging Face models behind `forward(batch, nudge=None)`.

Packed where attention can be kept inside each example (`PACKED`), padded elsewhere behind the same call.
Axes: T tokens, B examples, L longest example, D model width, U supervised units, C classes.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn

from tunewright.core.seeds import key
from tunewright.core.tensors import Batch
from tunewright.models import allocator, attention, dropout, last_layer
from tunewright.models.heads import Head, head_of, pool
from tunewright.models.last_layer import LastLayer
from tunewright.models.products import Products

Layout = Literal["packed", "padded"]

PACKED = frozenset(
    {"bert", "roberta", "xlm-roberta", "camembert", "distilbert", "electra", "modernbert", "gpt2", "llama", "mistral",
     "qwen2", "qwen3"}
)  # fmt: skip
# norms after each sum keep the rounding of what passes between layers from adding up, as it does where norms come first
_NARROW = last_layer.FAMILIES | {"distilbert"}
_POSITIONS_AFTER_PADDING = frozenset({"roberta", "xlm-roberta", "camembert"})


class ModelForward:
    """A sequence classifier of transformers (possibly with peft's layers in it) as a Forward.

    Args:
        model: the model; its dropouts are replaced by keyed ones.
        layout: "packed" or "padded"; None chooses packed where the family allows it.
        precision: "bfloat16" runs the matrix products under autocast; attention of long examples, norms and scores
            stay float32. In a packed prediction of the BERT family on a CPU what passes between the layers is
            bfloat16 too.
        scale: for numbers, mean and spread (each K) of the targets: scores are made in units of the spread around the
            mean, which is what a new head starts from, and given in the targets' own units.
        fixed: the weights change no more: the model is put into evaluation mode, and what a prediction has laid out
            of them is kept for the next.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        layout: Layout | None = None,
        precision: Literal["float32", "bfloat16"] = "float32",
        scale: tuple[Sequence[float], Sequence[float]] | None = None,
        fixed: bool = False,
    ) -> None:
        self.model = model
        outer: Any = model
        self.inner: Any = outer.get_base_model() if hasattr(outer, "get_base_model") else outer
        self.kind = str(self.inner.config.model_type)
        self.head: Head | None = head_of(self.inner)
        self.layout: Layout = layout or ("packed" if self.kind in PACKED and self.head else "padded")
        self.precision = precision
        self.device = next(model.parameters()).device
        self.scale = None if scale is None else tuple(torch.tensor(x, dtype=torch.float64) for x in scale)
        self.fixed = fixed
        if fixed:
            self._settle()
        self._laid: Products | None = None
        self.draws = dropout.Draws()
        dropout.install(model, self.draws)
        self._nudge: Tensor | None = None
        self._last: LastLayer | None = None
        self._types = _reads_types(self.inner)
        attention.register()
        allocator.settle()
        _own_config(model, self.inner)
        self._restore = self.inner.config._attn_implementation
        if self.layout == "packed":
            self.inner.set_attn_implementation(attention.NAME)
            if self.kind in last_layer.FAMILIES:
                self._last = LastLayer(self.inner, self.draws)
        elif getattr(self.inner, "_supports_sdpa", False):
            self.inner.set_attn_implementation(attention.PADDED)

    def __call__(self, batch: Batch, nudge: Tensor | None = None) -> Tensor:
        """Scores (U, C) in float32 (float64 for a float64 model)."""
        batch = batch.to(self.device)
        if batch.unit != "example":
            raise NotImplementedError("this forward scores examples")
        if not len(batch.positions) and not self.model.training:
            return torch.zeros(0, self.inner.config.num_labels)
        with self._nudged(nudge), self._autocast():
            scores = self._packed(batch) if self.layout == "packed" else self._padded(batch)
        chosen = scores if len(batch.positions) == len(batch.ids) else scores.index_select(0, batch.positions)
        chosen = chosen if chosen.dtype == torch.float64 else chosen.float()
        if self.scale is not None:
            mean, spread = (x.to(chosen) for x in self.scale)
            chosen = torch.addcmul(mean, chosen, spread)
        return chosen

    def nudge_like(self, batch: Batch) -> Tensor:
        """Zeros (T, D) in the embeddings' precision and place."""
        weight = self.inner.get_input_embeddings().weight
        return torch.zeros(len(batch.tokens), weight.shape[1], dtype=weight.dtype, device=self.device)

    def features(self, batch: Batch) -> Tensor:
        """(B, D) the body's pooled hidden states, without a graph: what a linear probe is fitted on."""
        batch = batch.to(self.device)
        with torch.no_grad(), self._autocast():
            if self.layout == "packed":
                hidden = self._hidden(batch, attention.Packing.of(batch.lengths, self.device))
                return pool(hidden, batch.lengths, "mean").float()
            tokens, mask, _ = self._pad(batch)
            hidden = self.inner.base_model(input_ids=tokens, attention_mask=mask).last_hidden_state
            flat = hidden[mask.bool()]
            return pool(flat, batch.lengths, "mean").float()

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Evaluation mode without a graph; the model's mode is put back after. Weights are cast once, not once a batch."""
        was = self.model.training
        self._settle()
        laid = self.device.type == "cpu" and self.precision == "bfloat16"
        try:
            with torch.inference_mode(), self._autocast(), self._products() if laid else nullcontext():
                yield
        finally:
            self.model.train(was)

    def release(self) -> nn.Module:
        """The model as transformers knows it, without anything of ours in it."""
        dropout.remove(self.model)
        if self._last is not None:
            self._last.remove()
        self.inner.set_attn_implementation(self._restore if self._restore in ("eager", "sdpa") else "sdpa")
        return self.model

    def _autocast(self) -> Any:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")

    def _settle(self) -> None:
        if self.model.training:
            self.model.eval()
            allocator.give_back()

    def _products(self) -> Products:
        """Faster products for a prediction; made anew where the weights may have changed."""
        if self._laid is None or not self.fixed:
            narrow = self.layout == "packed" and self.kind in _NARROW
            self._laid = Products(self.model, self.inner.base_model.embeddings if narrow else None)
        return self._laid

    def _hidden(self, batch: Batch, packing: attention.Packing) -> Tensor:
        """(T, D) hidden states of the packed batch."""
        places = packing.places
        self.draws.begin(batch.keys, packing.owners, places)
        more: dict[str, Any] = {}
        if batch.types is not None and self._types:
            more["token_type_ids"] = batch.types[None]
        positions = places
        if self.kind in _POSITIONS_AFTER_PADDING:
            positions = places + self.inner.config.pad_token_id + 1
        if self.head and self.head.pooling == "last":
            more["use_cache"] = False
        out = self.inner.base_model(
            input_ids=batch.tokens[None],
            position_ids=positions[None],
            packing=packing,
            **more,
        )
        hidden: Tensor = out.last_hidden_state[0]
        return hidden

    def _packed(self, batch: Batch) -> Tensor:
        assert self.head is not None
        packing = attention.Packing.of(batch.lengths, self.device)
        if self._last is None:
            return self.head.score(self.inner, pool(self._hidden(batch, packing), batch.lengths, self.head.pooling))
        with self._last.cut(packing.starts):
            return self.head.score(self.inner, self._hidden(batch, packing))

    def _pad(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens, mask and types (B, L); sets the keys of dropout for the padded rows."""
        n, longest = len(batch.lengths), max(batch.lengths)
        padding = self.inner.config.pad_token_id or 0
        sizes = torch.tensor(batch.lengths, device=self.device)
        places = torch.arange(longest, device=self.device)
        mask = places[None] < sizes[:, None]
        tokens = torch.full((n, longest), padding, device=self.device)
        tokens[mask] = batch.tokens
        types = torch.zeros_like(tokens)
        if batch.types is not None:
            types[mask] = batch.types
        owners = torch.arange(n, device=self.device).repeat_interleave(longest)
        self.draws.begin(batch.keys, owners, places.repeat(n))
        self._mask = mask
        return tokens, mask.long(), types

    def _padded(self, batch: Batch) -> Tensor:
        tokens, mask, types = self._pad(batch)
        more = {"token_type_ids": types} if batch.types is not None and self._types else {}
        with self._seeded(batch):
            out = self.inner(input_ids=tokens, attention_mask=mask, **more)
        scores: Tensor = out.logits
        return scores

    @contextmanager
    def _seeded(self, batch: Batch) -> Iterator[None]:
        """Draws that a model makes past nn.Dropout depend on the batch's keys, so that a run can go on exactly."""
        if batch.keys is None or not self.model.training:
            yield
            return
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(key(*batch.keys.tolist()))
            yield

    @contextmanager
    def _nudged(self, nudge: Tensor | None) -> Iterator[None]:
        """The next look-up of token embeddings gives them with `nudge` added."""
        if nudge is None:
            yield
            return
        table = self.inner.get_input_embeddings()
        sharing = (m for m in self.inner.modules() if isinstance(m, nn.Embedding) and m.weight is table.weight)
        handles = [m.register_forward_hook(self._add_nudge) for m in {table, *sharing}]
        self._nudge = nudge
        try:
            yield
            if self._nudge is not None:
                raise NotImplementedError(f"{self.kind} looks its embeddings up where a nudge cannot reach them")
        finally:
            for handle in handles:
                handle.remove()
            self._nudge = None

    def _add_nudge(self, module: nn.Module, args: Any, out: Tensor) -> Tensor:
        nudge, self._nudge = self._nudge, None  # an encoder-decoder looks up twice: the encoder's comes first
        if nudge is None:
            return out
        if self.layout == "packed":
            return out + nudge.to(out.dtype)
        spread = torch.zeros_like(out)
        spread[self._mask] = nudge.to(out.dtype)
        return out + spread


def _own_config(model: nn.Module, inner: Any) -> None:
    """Gives the model its own configuration: two models built from one object would share its attention setting."""
    shared, own = inner.config, copy.deepcopy(inner.config)
    for module in model.modules():
        if module.__dict__.get("config") is shared:
            module.config = own


def _reads_types(inner: Any) -> bool:
    """Whether token types mean something to this model."""
    return "token_type_ids" in inspect.signature(inner.forward).parameters and (
        getattr(inner.config, "type_vocab_size", 2) > 1
    )
