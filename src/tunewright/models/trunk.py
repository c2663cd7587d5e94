"""The layers below the first that learns: run without a graph, in evaluation mode, and once for each text.

Nothing random is left in layers that do not learn once their dropout is off, so that what they make of a text is the same
in every epoch. It is kept by the text's tokens (`kept.py`), and training goes on from there: at the first layer that
learns, from the states of every token; where a head alone learns, from the few rows that the head reads. What is drawn
above (dropout) is what would have been drawn without. In bfloat16 on a CPU the layers below are computed as a prediction
computes them (`products.py`): weights laid out once, and for the BERT family bfloat16 between the layers, which is how
the states are then kept.

What differs from plain training: dropout in layers that do not learn, below the first that does, is not applied. Liu,
Agarwal and Venkataraman 2021, "AutoFreeze: Automatically Freezing Model Blocks to Accelerate Fine-tuning", keep the
activations of frozen layers on disk too; here what is frozen is said by the recipe.

Axes: T tokens, S sequences, U supervised units, R rows that are read, D model width.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tunewright.core.tensors import Batch
from tunewright.models.attention import Packing
from tunewright.models.dropout import KeyedDropout
from tunewright.models.heads import pool
from tunewright.models.kept import Keeping, Kept
from tunewright.models.layers import Layers, layers_of, state_of
from tunewright.models.products import Products

if TYPE_CHECKING:
    from tunewright.models.forward import ModelForward

_VERSION = 1  # of what the rows on disk mean; raised when the same weights and tokens come to give others

_OF_THE_HEAD = frozenset(
    {"id2label", "label2id", "num_labels", "problem_type", "_name_or_path", "architectures", "dtype", "torch_dtype",
     "transformers_version"}
)  # fmt: skip
"""What of a configuration says nothing of the layers, or is noted by saving."""

Rows = Literal["tokens", "first", "last", "mean", "positions"]


@dataclass(frozen=True)
class Reading:
    """What is read of the first `depth` layers' output: which rows of each sequence, and whether past the last norm."""

    depth: int
    rows: Rows
    normed: bool = False


class Trunk:
    """What lies below everything that learns in one forward's model.

    Args:
        forward: whose model; it runs the body, and says how.
        layers: its layers.
        keep: how much of what they make is kept; None for nothing.
    """

    def __init__(self, forward: ModelForward, layers: Layers, keep: Keeping | None) -> None:
        self.forward, self.layers, self.keep = forward, layers, keep
        self.kept: Kept | None = None
        self.computed = 0
        """How many sequences the layers below were run for."""
        self._foreseen: Callable[[], Iterable[Batch]] | None = None
        self._filled = False
        self._reading: Reading | None = None
        self._products: tuple[int, Products] | None = None
        self._busy = False

    @classmethod
    def of(cls, forward: ModelForward, keep: Keeping | None) -> Trunk | None:
        """The trunk of a forward's model, or None where its family is not known, or where virtual tokens learn below it."""
        if forward.virtual.virtual:
            return None
        layers = layers_of(forward.model, forward.inner)
        return None if layers is None else cls(forward, layers, keep)

    def frozen(self) -> int:
        """How many layers lie below everything that learns; 0 with virtual tokens, which every layer reads."""
        return 0 if self.forward.virtual.virtual else self.layers.frozen()

    def depth(self) -> int:
        """As `frozen`; in a training, puts these layers into evaluation mode.

        0 in a prediction of which nothing is kept: it has better ways.
        """
        training = self.forward.model.training
        if not training and self.keep is None:
            return 0
        depth = self.frozen()
        if training:
            self.layers.settle(depth)
        return depth

    def whole(self, depth: int) -> bool:
        """Whether that is all layers: only what stands on them learns."""
        return depth == len(self.layers)

    def frozen_with_dropout(self) -> int:
        """How many layers lie below everything that learns, where these or the embeddings would have dropped something."""
        depth = self.frozen()
        inside = (m for part in self.layers.below(depth) for m in part.modules())
        return depth if any(isinstance(m, KeyedDropout) and m.p for m in inside) else 0

    def foresee(self, batches: Callable[[], Iterable[Batch]]) -> None:
        """Says what will be read more than once: where some of it is missing, all of it is computed at once."""
        self._foreseen, self._filled = batches, False

    def states(self, batch: Batch, depth: int, packing: Packing, take: Tensor | None = None) -> Tensor:
        """What layer `depth` is given, (T, D); of the tokens `take` (R,) of the batch alone, where `packing` says so.

        Args:
            packing: how the body would read the batch (or the tokens `take`).
        """
        reading = Reading(depth, "tokens")
        if self.keep is None:
            part = batch if take is None else replace(batch, tokens=batch.tokens[take], types=None)
            rows = self._run(part, reading, packing)
        else:
            rows = self._rows(batch, reading)
            rows = rows if take is None else rows.index_select(0, take)
        return self._given(rows)

    def read(self, batch: Batch) -> Tensor:
        """What the head reads where all layers are frozen: (S, D) pooled states, or (U, D) those of supervised tokens."""
        layers, head = self.layers, self.forward.head
        pooled = self.forward.output == "examples" and head is not None
        rows: Rows = head.pooling if pooled and head is not None else "positions"
        normed = layers.norm is None or not layers.norm_learns
        mean = rows == "mean" and not normed
        if rows == "positions" and bool((batch.positions.diff() < 0).any()):
            order = batch.positions.argsort(stable=True)
            found = self.read(replace(batch, positions=batch.positions[order]))
            return torch.empty_like(found).index_copy(0, order, found)
        found = self._given(self._rows(batch, Reading(len(layers), "tokens" if mean else rows, normed)))
        if not normed:
            assert layers.norm is not None
            found = layers.norm(found)
        return pool(found, batch.lengths, "mean") if mean else found

    def _given(self, rows: Tensor) -> Tensor:
        """As the layers that learn expect them: in a training what passes between the layers is float32."""
        rows = rows.to(self.forward.device)
        return rows.float() if rows.dtype == torch.bfloat16 and self.forward.model.training else rows

    def _rows(self, batch: Batch, reading: Reading) -> Tensor:
        """(R, D) as `reading` says, computed or kept."""
        if self.keep is None:
            return self._run(batch, reading)
        with torch.inference_mode(False), torch.no_grad():
            kept = self._opened(reading)
            keys, counts = self._keys(batch, reading)
            found = [kept.get(key) for key in keys]
            if self._foreseen is not None and not self._filled and any(rows is None for rows in found):
                self._fill(reading, kept)
                found = [kept.get(key) for key in keys]
            missing = [i for i, rows in enumerate(found) if rows is None]
            if missing:
                part = batch if len(missing) == len(keys) else _part(batch, missing)
                rows = self._run(part, reading)
                sizes = [counts[i] for i in missing]
                kept.put([keys[i] for i in missing], rows, sizes)
                if len(missing) == len(keys):
                    return rows
                for i, own in zip(missing, torch.split(rows.cpu(), sizes), strict=True):
                    found[i] = own
            return torch.cat([rows for rows in found if rows is not None])

    def _fill(self, reading: Reading, kept: Kept) -> None:
        """Computes all that was foreseen, in the batches of a prediction, so far as there is room.

        All of it and always in the same batches: a run that goes on after a kill has the same rows, bit for bit.
        """
        assert self._foreseen is not None
        self._filled = True
        for batch in self._foreseen():
            if kept.full:
                break
            batch = batch.to(self.forward.device)
            keys, counts = self._keys(batch, reading)
            missing = [i for i, key in enumerate(keys) if kept.get(key) is None]
            if missing:
                part = batch if len(missing) == len(keys) else _part(batch, missing)
                kept.put([keys[i] for i in missing], self._run(part, reading), [counts[i] for i in missing])
        kept.flush()

    def facts(self) -> dict[str, Any]:
        """What a run notes: frozen layers, how many sequences they were run for, and how many are kept, where."""
        kept = self.kept
        place = None if kept is None else "memory" if self.keep is None or self.keep.folder is None else "disk"
        return {"layers": self.frozen(), "of": len(self.layers), "computed": self.computed, "kept": place,
                "entries": 0 if kept is None else len(kept), "full": kept is not None and kept.full,
                "damaged_files": 0 if kept is None else kept.damaged}  # fmt: skip

    def flush(self) -> None:
        """Sees that what is kept on disk is there for others."""
        if self.kept is not None:
            self.kept.flush()

    def _opened(self, reading: Reading) -> Kept:
        """Where rows of this reading are kept. Layers that learn now make those of the reading before worthless."""
        if self.kept is None or reading != self._reading:
            assert self.keep is not None
            self.flush()
            self.kept, self._reading, self._filled = None, reading, False
            self.kept = self.keep.opened("" if self.keep.folder is None else self._owner(reading))
        return self.kept

    def _run(self, batch: Batch, reading: Reading, packing: Packing | None = None) -> Tensor:
        """(R, D) as `reading` says: the body without a graph."""
        forward, layers = self.forward, self.layers
        self.computed += len(batch.lengths)
        packing = packing or Packing.of(batch.lengths, forward.device)
        with torch.inference_mode(False), torch.no_grad(), self.laid(reading.depth):
            if not self.whole(reading.depth) or not reading.normed:
                hidden = layers.reached(reading.depth, lambda: forward._hidden(batch, packing))
            elif reading.rows == "first" and forward._last is not None:
                with forward._last.cut(packing.starts):
                    return forward._hidden(batch, packing)
            else:
                hidden = forward._hidden(batch, packing)
            if reading.rows == "tokens":
                return hidden
            if reading.rows == "positions":
                return hidden.index_select(0, batch.positions)
            return pool(hidden, batch.lengths, reading.rows)

    @contextmanager
    def laid(self, depth: int) -> Iterator[None]:
        """Faster products below, where there are such; weights that do not change are laid out once."""
        forward = self.forward
        if self._busy or not depth or forward.device.type != "cpu" or forward.precision != "bfloat16":
            yield
            return
        if self._products is None or self._products[0] != depth:
            self._products = depth, Products(nn.ModuleList(self.layers.below(depth)), forward._narrow())
        self._busy = True
        try:
            with self._products[1]:
                yield
        finally:
            self._busy = False

    def _keys(self, batch: Batch, reading: Reading) -> tuple[list[bytes], list[int]]:
        """What each sequence is kept under: a hash of all that the reading depends on; and how many rows it has."""
        tokens = batch.tokens.cpu().numpy()
        types = batch.types.cpu().numpy() if batch.types is not None and self.forward._types else None
        ends = np.cumsum(batch.lengths)
        asked, counts = list[bytes](), list[int]()
        if reading.rows == "positions":
            asked, counts = _asked(batch, ends)
        else:
            counts = list(batch.lengths) if reading.rows == "tokens" else [1] * len(batch.lengths)
        keys, start = [], 0
        for i, end in enumerate(ends.tolist()):
            digest = hashlib.blake2b(tokens[start:end].tobytes(), digest_size=16)
            if types is not None:
                digest.update(b"types" + types[start:end].tobytes())
            if asked:
                digest.update(b"positions" + asked[i])
            keys.append(digest.digest())
            start = end
        return keys, counts

    def _owner(self, reading: Reading) -> str:
        """Everything that rows depend on beside the tokens: weights, what is read, how and with which libraries."""
        import transformers

        forward, layers = self.forward, self.layers
        normed = [layers.norm] if reading.normed and layers.norm is not None else []
        config = {name: x for name, x in forward.inner.config.to_dict().items() if name not in _OF_THE_HEAD}
        digest = hashlib.sha256()
        for fact in (_VERSION, torch.__version__, transformers.__version__, torch.backends.cpu.get_cpu_capability(),
                     forward.device.type, forward.precision, forward.layout, reading, sorted(config.items(), key=str)):  # fmt: skip
            digest.update(f"{fact}\n".encode())
        for name, value in state_of([*layers.below(reading.depth), *normed]):
            digest.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode())
            digest.update(value.cpu().reshape(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()[:32]


def _asked(batch: Batch, ends: NDArray[np.int64]) -> tuple[list[bytes], list[int]]:
    """The supervised positions of each sequence, within it, and how many they are."""
    positions = batch.positions.cpu().numpy()
    bounds = np.searchsorted(positions, ends)
    asked, counts, first, start = list[bytes](), list[int](), 0, 0
    for end, last in zip(ends.tolist(), bounds.tolist(), strict=True):
        asked.append((positions[first:last] - start).tobytes())
        counts.append(last - first)
        first, start = last, end
    return asked, counts


def _part(batch: Batch, chosen: Sequence[int]) -> Batch:
    """Some of a batch's sequences, with their supervised tokens where tokens are supervised."""
    ends = np.cumsum(batch.lengths)
    starts = ends - np.asarray(batch.lengths)
    device = batch.tokens.device
    take = torch.from_numpy(np.concatenate([np.arange(starts[i], ends[i]) for i in chosen])).to(device)
    lengths = tuple(batch.lengths[i] for i in chosen)
    positions = batch.positions
    if batch.unit == "token":
        place = torch.full((len(batch.tokens),), -1, device=device)
        place[take] = torch.arange(len(take), device=device)
        positions = place[positions]
        positions = positions[positions >= 0]
    types = None if batch.types is None else batch.types[take]
    return replace(batch, tokens=batch.tokens[take], lengths=lengths, types=types, positions=positions, keys=None)
