"""One base model in memory for any number of adapters on it.

Every adapter gets a model of its own, a tree of modules around the same tensors: so adapters of all kinds, with heads of
different tasks, stand side by side, and going from one to another moves nothing. Making such a tree costs milliseconds;
the base's files are read once for each kind of head.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from tunewright.core.errors import ModelError, Problem
from tunewright.models.loading import Found


class SharedBase:
    """The base of the adapters that are opened with it; the first one says which model it is."""

    def __init__(self) -> None:
        self.found: Found | None = None
        self.first: Path | None = None
        self.laid: MutableMapping[nn.Parameter, Tensor] = WeakTensorKeyDictionary()
        """Weights in the order that a machine's products want, for all forwards over this base."""
        self._sha = ""
        self._trees: dict[tuple[Any, int, Any], Any] = {}
        self._data: dict[nn.Parameter, Tensor] = {}
        self._tokenizers: dict[tuple[tuple[str, str], ...], Any] = {}

    def of(self, folder: Path, base: dict[str, Any], find: Callable[[], Found]) -> Found:
        """Where the base of the adapter in `folder` lies, as its card's `base` names it; it must be that of the others.

        Raises:
            ModelError: it is another one, or `find` does not find it.
        """
        if self.found is None or self.first is None:
            self.found, self.first, self._sha = find(), folder, str(base["sha256"])
        elif self._sha != base["sha256"]:
            raise ModelError(
                Problem(where=str(folder), found=f"this adapter was trained on other weights than the one in {self.first}",
                        allowed=f"adapters on {self.found.name} with the fingerprint {self._sha[:12]}",
                        to_do="open it by itself, or train it again on that base")
            )  # fmt: skip
        return self.found

    def model(self, kind: Any, labels: dict[str, Any], read: Callable[[], Any], stores: Any = None) -> Any:
        """A model of its own for one adapter, with its own labels in its configuration.

        Args:
            kind: the class that gives a base its head.
            labels: entries of the configuration, `num_labels` first; none for a language model.
            read: reads the base with such a head from its files.
            stores: how `read` keeps the weights; only bodies that are kept alike have one copy of their tensors.
        """
        wanted = kind, int(labels.get("num_labels", 0)), stores
        if wanted not in self._trees:
            tree = read()
            known = next((other for (_, _, kept), other in self._trees.items() if kept == stores), None)
            if known is not None:
                _share(known, tree)
            self._trees[wanted] = tree
        self._data = {p: p.data for tree in self._trees.values() for p in tree.parameters()}
        own = _twin(self._trees[wanted])
        for name, value in labels.items():
            setattr(own.config, name, value)
        return own

    def tokenizer(self, files: dict[str, dict[str, Any]], read: Callable[[], Any]) -> Any:
        """The tokenizer of a folder whose `files` have these stamps: one object for all folders that have the same one."""
        own = ("adapter_", "base/", "README")
        known = tuple(sorted((n, str(stamp["sha256"])) for n, stamp in files.items() if not n.startswith(own)))
        if known not in self._tokenizers:
            self._tokenizers[known] = read()
        return self._tokenizers[known]

    def restore(self) -> bool:
        """Puts the base's weights back where opening an adapter has put others in their place; says whether it had.

        Some initialisations of LoRA (PiSSA) do so.
        """
        moved = [p for p, data in self._data.items() if p.data_ptr() != data.data_ptr()]
        for p in moved:
            p.data = self._data[p]
        return bool(moved)


def _tensors(model: nn.Module) -> Iterator[Tensor]:
    yield from model.parameters()
    yield from model.buffers()


def _twin(model: Any) -> Any:
    """The same modules once more, around the same tensors."""
    return copy.deepcopy(model, {id(tensor): tensor for tensor in _tensors(model)})


def _share(known: Any, model: Any) -> None:
    """Gives a model's body the tensors of a known one's, so that its own can be let go."""
    theirs = dict(known.base_model.named_modules())
    for name, module in model.base_model.named_modules():
        other = theirs.get(name)
        if other is not None:
            _take(module._parameters, other._parameters)
            _take(module._buffers, other._buffers)
    if hasattr(model, "tie_weights"):
        model.tie_weights()


def _take(held: dict[str, Any], others: dict[str, Any]) -> None:
    for name, tensor in held.items():
        same = others.get(name)
        if tensor is not None and same is not None and same.shape == tensor.shape:
            held[name] = same
