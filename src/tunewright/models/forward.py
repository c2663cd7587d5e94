"""Hugging Face models behind `forward(batch, nudge=None)`.

Packed where attention can be kept inside each example (`PACKED`), padded elsewhere behind the same call.
Axes: T tokens, B examples, S sequences (of an example one, or two), L longest sequence, D model width, U supervised
units, C classes, tags or pieces of the vocabulary.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tunewright.core.seeds import key
from tunewright.core.tensors import Batch, Decoder
from tunewright.models import allocator, attention, dropout, last_layer, shapes, virtual
from tunewright.models.heads import Head, Output, head_of, output_of, pool, tags
from tunewright.models.kept import Keeping
from tunewright.models.last_layer import LastLayer
from tunewright.models.low_rank import LowRank
from tunewright.models.norms import Norms
from tunewright.models.prefixes import Sharing, shared
from tunewright.models.products import Products
from tunewright.models.trunk import Trunk
from tunewright.models.vocabulary import Vocabulary

Layout = Literal["packed", "padded"]

PACKED = frozenset(
    {"bert", "roberta", "xlm-roberta", "camembert", "distilbert", "electra", "modernbert", "gpt2", "llama", "mistral",
     "qwen2", "qwen3"}
)  # fmt: skip
# norms after each sum keep the rounding of what passes between layers from adding up, as it does where norms come first
_NARROW = last_layer.FAMILIES | {"distilbert"}
_DECODER_SIDE = 1 << 20  # where a decoder's places begin, so that its dropout is not the encoder's


class ModelForward:
    """A model of transformers (possibly with peft's layers in it) as a Forward: a classifier of texts or of tokens, or a
    causal, masked or sequence-to-sequence language model.

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
        draws: where dropouts draw from; its own where this is left out. Forwards over one body have one.
        keep: how much of what layers below the first that learns make of a text is kept (`trunk.py`); None for nothing.
        laid: what predictions of other forwards over the same weights have laid out, and where this one leaves its own.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        layout: Layout | None = None,
        precision: Literal["float32", "bfloat16"] = "float32",
        scale: tuple[Sequence[float], Sequence[float]] | None = None,
        fixed: bool = False,
        draws: dropout.Draws | None = None,
        keep: Keeping | None = None,
        laid: MutableMapping[nn.Parameter, Tensor] | None = None,
    ) -> None:
        self.model = model
        outer: Any = model
        self.inner: Any = outer.get_base_model() if hasattr(outer, "get_base_model") else outer
        self.kind = str(self.inner.config.model_type)
        self.virtual = virtual.of(outer)
        self.output: Output = output_of(self.inner)
        self.head: Head | None = head_of(self.inner)
        self.vocabulary = Vocabulary(self.inner) if self.output == "vocabulary" else None
        self.layout: Layout = layout or ("packed" if self.kind in PACKED and self.head else "padded")
        self.precision = precision
        self.device = next(model.parameters()).device
        self.scale = None if scale is None else tuple(torch.tensor(x, dtype=torch.float64) for x in scale)
        self.fixed = fixed
        if fixed:
            self._settle()
        self._laid: Products | None = None
        self._known = laid
        self.sharing = True
        """Whether prompts that sequences of a batch begin with are read once where that is exact."""
        self.draws = draws or dropout.Draws()
        dropout.install(model, self.draws)
        self._drops = any(isinstance(m, dropout.KeyedDropout) and m.p for m in model.modules())
        self._nudge: Tensor | None = None
        self._last: LastLayer | None = None
        self._types = _reads_types(self.inner)
        self.trunk = Trunk.of(self, keep)
        attention.register()
        allocator.settle()
        _own_config(model, self.inner)
        self._restore = self.inner.config._attn_implementation
        if self.layout == "packed":
            self.inner.set_attn_implementation(attention.NAME)
            if self.kind in last_layer.FAMILIES and self.output == "examples":
                self._last = LastLayer(self.inner, self.draws)
        elif getattr(self.inner, "_supports_sdpa", False):
            self.inner.set_attn_implementation(attention.PADDED)
        self._low_rank = LowRank(model, () if self._last is None else (self._last.queries,))
        self._norms = Norms(self.inner)

    def __call__(self, batch: Batch, nudge: Tensor | None = None) -> Tensor:
        """Scores (U, C) in float32 (float64 for a float64 model)."""
        batch = batch.to(self.device)
        if not len(batch.positions) and not self.model.training:
            return torch.zeros(0, self._width())
        with self._nudged(nudge), self._autocast():
            if self.output == "examples":
                scores = self._packed(batch) if self.layout == "packed" else self._padded(batch)
                scores = scores[: len(batch.lengths)]
                if len(batch.positions) != len(batch.lengths):
                    scores = scores.index_select(0, batch.positions)
            else:
                rows = self._rows(batch)
                scores = tags(self.inner, rows) if self.vocabulary is None else self.vocabulary.scores(rows)
        scores = scores if scores.dtype == torch.float64 else scores.float()
        if self.scale is not None:
            mean, spread = (x.to(scores) for x in self.scale)
            scores = torch.addcmul(mean, scores, spread)
        return scores

    def losses(self, batch: Batch, nudge: Tensor | None = None, smoothing: float = 0.0) -> Tensor:
        """(U,) what predicting each target costs, in nats; a vocabulary's scores are made a block at a time."""
        batch = batch.to(self.device)
        if self.vocabulary is not None and not len(batch.positions) and not self.model.training:
            return torch.zeros(0)
        return self.cost(self.states(batch, nudge), batch.targets, smoothing)

    def states(self, batch: Batch, nudge: Tensor | None = None) -> Tensor:
        """(U, D) hidden states of the supervised tokens where scores are over a vocabulary; elsewhere the scores."""
        if self.vocabulary is None:
            return self(batch, nudge)
        batch = batch.to(self.device)
        with self._nudged(nudge), self._autocast():
            return self._rows(batch)

    def scores(self, states: Tensor) -> Tensor:
        """(u, C) from some units' states (u, D), as a call gives them."""
        if self.vocabulary is None:
            return states
        with self._autocast():
            scores = self.vocabulary.scores(states)
        return scores if scores.dtype == torch.float64 else scores.float()

    def cost(self, states: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        """(u,) what predicting the targets (u,) costs, from the states (u, D)."""
        targets = targets.to(states.device)
        if self.vocabulary is None:
            return F.cross_entropy(states, targets, label_smoothing=smoothing, reduction="none")
        dtype = torch.bfloat16 if self.precision == "bfloat16" else states.dtype
        with self._autocast():
            return self.vocabulary.losses(states, targets, smoothing, dtype)

    def embeddings(self) -> Tensor:
        """(V, D) the table of token embeddings, with what has been learnt in it."""
        table: Tensor = self.inner.get_input_embeddings().weight
        return table.to(torch.promote_types(table.dtype, torch.float32))

    def _width(self) -> int:
        """How many scores a unit has."""
        return int(self.inner.config.num_labels if self.vocabulary is None else self.inner.config.vocab_size)

    def nudge_like(self, batch: Batch) -> Tensor:
        """Zeros (T, D) in the precision of looked-up embeddings, and their place."""
        weight = self.inner.get_input_embeddings().weight
        dtype = torch.promote_types(weight.dtype, torch.float32)
        return torch.zeros(len(batch.tokens), weight.shape[1], dtype=dtype, device=self.device)

    def features(self, batch: Batch) -> Tensor:
        """(B, D) the body's pooled hidden states, without a graph: what a linear probe is fitted on."""
        batch = batch.to(self.device)
        with torch.no_grad(), self._autocast():
            read = self.virtual.read(batch)
            if self.layout == "packed":
                hidden = self._hidden(read, attention.Packing.of(read.lengths, self.device))
            else:
                inputs, mask, _ = self._pad(read)
                hidden = self.inner.base_model(**inputs).last_hidden_state[mask]
            return pool(hidden[read.tokens >= 0], batch.lengths, "mean").float()

    def hidden(self, batch: Batch) -> Tensor:
        """(U, D) the body's hidden states at the supervised tokens, without a graph: as `features`, of tokens."""
        batch = batch.to(self.device)
        with torch.no_grad(), self._autocast():
            return self._rows(batch).float()

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Evaluation mode without a graph; the model's mode is put back after. Weights are cast once, not once a batch."""
        was = self.model.training
        self._settle()
        laid = self.device.type == "cpu" and self.precision == "bfloat16"
        try:
            depth = self._depth()
            with torch.inference_mode(), self._autocast(), self._laid_out(depth) if laid else nullcontext():
                yield
        finally:
            if self.trunk is not None:
                self.trunk.flush()
            self.model.train(was)

    def release(self) -> nn.Module:
        """The model as transformers knows it, without anything of ours in it."""
        if self.trunk is not None:
            self.trunk.flush()
        dropout.remove(self.model)
        if self._last is not None:
            self._last.remove()
        self.inner.set_attn_implementation(self._restore if self._restore in ("eager", "sdpa") else "sdpa")
        return self.model

    @contextmanager
    def _autocast(self) -> Iterator[None]:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            with self._low_rank, self._norms:
                yield

    def _settle(self) -> None:
        if self.model.training:
            self.model.eval()
            allocator.give_back()

    @contextmanager
    def _laid_out(self, depth: int) -> Iterator[None]:
        """Faster products for a prediction; made anew where the weights may have changed, which `depth` layers have not."""
        trunk = self.trunk if depth else None
        if self._laid is None or not self.fixed:
            below = trunk.layers.below(depth) if trunk is not None else []
            self._laid = Products(self.inner, None if depth else self._narrow(), self._known, below)
        with trunk.laid(depth) if trunk is not None else nullcontext(), self._laid:
            yield

    def _narrow(self) -> nn.Module | None:
        """The embeddings, where what passes between the layers of a prediction is bfloat16."""
        embeddings: nn.Module | None = self.inner.base_model.embeddings if self._narrows else None
        return embeddings

    @property
    def _narrows(self) -> bool:
        return self.layout == "packed" and self.kind in _NARROW

    @property
    def _fills(self) -> bool:
        """Whether oneDNN compiles the products, which it does anew for each number of tokens."""
        return (
            self.model.training and self.device.type == "cpu" and self.precision == "bfloat16" and self._nudge is None
        )

    def _filled(self, batch: Batch, depth: int) -> Batch:
        """The batch as the body reads it, unless what layers below make of it is kept: that is of its texts alone."""
        return shapes.filled(batch) if self._fills and not depth else batch

    def _depth(self) -> int:
        """How many layers lie below everything that learns, as the next pass goes; these do not drop from here on."""
        depth = 0 if self.trunk is None else self.trunk.depth()
        return depth if self.layout == "packed" and self._nudge is None else 0

    def _hidden(self, batch: Batch, packing: attention.Packing, depth: int = 0, states: Tensor | None = None) -> Tensor:
        """(T, D) hidden states of the packed batch; from the layer `depth` on, where its input `states` (T, D) is given."""
        packing = self.virtual.packed(packing)
        self.draws.begin(_keys(batch), packing.owners, packing.places)
        more = self.virtual.inputs(batch.tokens[None])
        if batch.types is not None and self._types:
            more["token_type_ids"] = batch.types[None]
        if self.head is not None and self.head.pooling == "last":
            more["use_cache"] = False
        above = nullcontext() if self.trunk is None or states is None else self.trunk.layers.entered(depth, states)
        places = (packing.places + self.virtual.first)[None]
        with above:
            out = self.inner.base_model(position_ids=places, packing=packing, **more)
        hidden: Tensor = out.last_hidden_state[0]
        return hidden

    def _packed(self, batch: Batch) -> Tensor:
        assert self.head is not None
        batch = self.virtual.read(batch)
        depth, states = self._depth(), None
        if self.trunk is not None and depth and self.trunk.whole(depth):
            pooled = self.trunk.read(batch)
            rows = torch.arange(len(pooled), device=self.device)
            self.draws.begin(_keys(batch), rows, torch.zeros_like(rows))
            return self.head.score(self.inner, pooled)
        batch = self._filled(batch, depth)
        packing = attention.Packing.of(batch.lengths, self.device)
        if self.trunk is not None and depth:
            states = self.trunk.states(batch, depth, packing)
        if self._last is None:
            hidden = self._hidden(batch, packing, depth, states)
            return self.head.score(self.inner, pool(hidden, batch.lengths, self.head.pooling))
        with self._last.cut(packing.starts):
            return self.head.score(self.inner, self._hidden(batch, packing, depth, states))

    def _rows(self, batch: Batch) -> Tensor:
        """(U, D) hidden states of the supervised tokens."""
        if batch.unit != "token":
            raise NotImplementedError(f"{type(self.inner).__name__} scores tokens, not {batch.unit}s")
        batch = self.virtual.read(batch)
        if batch.decoder is not None:
            hidden = self._decoded(batch, batch.decoder)
            sequences = batch.sequences()
            places = batch.positions - torch.constant_pad_nd(batch.ends(), (1, 0))[sequences] + _DECODER_SIDE
            self.draws.begin(_keys(batch), sequences, places)
            return hidden.index_select(0, batch.positions)
        chosen = batch.positions
        if self.layout == "packed":
            depth, states, take = self._depth(), None, None
            if self.trunk is not None and depth and self.trunk.whole(depth):
                hidden, sequences = self.trunk.read(batch), batch.sequences()
                starts = torch.constant_pad_nd(batch.ends(), (1, 0))[sequences]
                self.draws.begin(_keys(batch), sequences, chosen - starts)
                return hidden
            sharing = self._sharing(batch)
            if sharing is None:
                batch = self._filled(batch, depth)
                packing = attention.Packing.of(batch.lengths, self.device)
            else:
                packing, chosen, take = attention.Packing.sharing(sharing), sharing.of[chosen], sharing.take
            if self.trunk is not None and depth:
                states = self.trunk.states(batch, depth, packing, take)
            if take is not None:
                batch = replace(batch, tokens=batch.tokens[take], types=None)
            hidden = self._hidden(batch, packing, depth, states)
            owners, places = packing.owners, packing.places
        else:
            hidden, mask = self._padded_states(batch)
            owners = torch.arange(len(mask), device=self.device).repeat_interleave(mask.sum(1))
            places = (mask.cumsum(1) - 1)[mask]
        self.draws.begin(_keys(batch), owners[chosen], places[chosen])  # of the dropout that the head may hold
        return hidden.index_select(0, chosen)

    def _sharing(self, batch: Batch) -> Sharing | None:
        """Which prompts of the batch are read once, where that is exact."""
        causal = self.head is not None and self.head.pooling == "last" and self.device.type == "cpu"
        windows = getattr(self.inner.config, "sliding_window", None) is not None
        double = next(self.inner.parameters()).dtype == torch.float64  # the kernel is float32's
        if (
            not self.sharing
            or self._nudge is not None
            or not causal
            or windows
            or double
            or not attention.flash_works()
        ):
            return None
        keys = _keys(batch) if self._drops and self.model.training else None
        return shared(batch.tokens, batch.lengths, None if keys is None else keys.tolist())

    def _decoded(self, batch: Batch, read: Decoder) -> Tensor:
        """(T, D) hidden states of an encoder-decoder's decoder, its sequences end to end."""
        source, mask, _ = self._pad(batch)
        with self._seeded(batch):
            seen = self.inner.get_encoder()(**source).last_hidden_state
            inputs, asked = _padded(read.tokens, read.lengths, self.inner.config.pad_token_id or 0)
            n, longest = inputs.shape
            owners = torch.arange(n, device=self.device).repeat_interleave(longest)
            self.draws.begin(_keys(batch), owners, torch.arange(longest, device=self.device).repeat(n) + _DECODER_SIDE)
            out = self.inner.get_decoder()(
                input_ids=inputs, encoder_hidden_states=seen, encoder_attention_mask=mask.long(), use_cache=False,
                **self.virtual.decoder(asked),
            )  # fmt: skip
        hidden: Tensor = out.last_hidden_state[asked]
        return hidden

    def _pad(self, batch: Batch) -> tuple[dict[str, Any], Tensor, dict[str, Any]]:
        """Arguments for the padded tokens, where there are some (S, L), and types; sets the keys of dropout."""
        self._depth()
        tokens, mask = _padded(batch.tokens, batch.lengths, self.inner.config.pad_token_id or 0)
        n, longest = tokens.shape
        types = torch.zeros_like(tokens)
        if batch.types is not None:
            types[mask] = batch.types
        owners = torch.arange(n, device=self.device).repeat_interleave(longest)
        self.draws.begin(_keys(batch), owners, torch.arange(longest, device=self.device).repeat(n))
        self._mask = mask
        more = {"token_type_ids": types} if batch.types is not None and self._types else {}
        return self.virtual.padded(tokens, mask), mask, more

    def _padded_states(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(T, D) the body's hidden states, and where in the padded batch (S, L) they were."""
        inputs, mask, more = self._pad(batch)
        with self._seeded(batch):
            out = self.inner.base_model(**inputs, **more)
        return out.last_hidden_state[mask], mask

    def _padded(self, batch: Batch) -> Tensor:
        if self.virtual.virtual and self.head is not None:  # transformers would not find the last token of embeddings
            batch = self.virtual.read(batch)
            hidden, _ = self._padded_states(batch)
            return self.head.score(self.inner, pool(hidden, batch.lengths, self.head.pooling))
        inputs, _, more = self._pad(batch)
        with self._seeded(batch):
            out = self.inner(**inputs, **more)
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
            with dropout.functional(self.draws):
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
        if self.layout == "packed" or self.virtual.embeds:  # which looks up no padding
            return out + nudge.to(out.dtype)
        spread = torch.zeros_like(out)
        spread[self._mask] = nudge.to(out.dtype)
        return out + spread


def _keys(batch: Batch) -> Tensor | None:
    """(S,) the key of each sequence: both sides of an example draw alike, so that a prompt they share stays the same."""
    return batch.keys if batch.keys is None or batch.sides == 1 else batch.keys.repeat_interleave(batch.sides)


def _padded(flat: Tensor, lengths: tuple[int, ...], padding: int) -> tuple[Tensor, Tensor]:
    """Tokens (S, L) of sequences that lie end to end, and where there is one."""
    sizes = torch.tensor(lengths, device=flat.device)
    mask = torch.arange(max(lengths), device=flat.device)[None] < sizes[:, None]
    tokens = torch.full(mask.shape, padding, device=flat.device)
    tokens[mask] = flat
    return tokens, mask


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
