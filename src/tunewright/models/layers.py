"""Where a model's layers lie, and how many of them, counted from below, nothing that learns lies in or under.

A parameter that is found neither in a layer nor above the layers (in the head, the pooler, the last norm) counts as lying
under all of them: prompts, embeddings, and whatever an adaptation keeps beside the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

_BERT = frozenset({"bert", "roberta", "xlm-roberta", "camembert", "electra"})
_LLAMA = frozenset({"llama", "mistral", "qwen2", "qwen3"})
_ABOVE = frozenset(
    {"classifier", "score", "pre_classifier", "head", "cls", "lm_head", "decoder", "qa_outputs", "vocab_transform",
     "vocab_layer_norm", "vocab_projector", "generator_predictions", "generator_lm_head", "dropout", "drop"}
)  # fmt: skip
"""What transformers calls the modules that stand on a body."""


class Layers:
    """The layers of one model.

    Args:
        model: the model with whatever an adaptation has put around it.
        body: transformers' model without a head.
        entry: the modules that make the first layer's input; the first of them can give it by itself.
        holder, name: where the layers hang, `holder.name` being an nn.ModuleList.
        norm: what stands between the last layer and the head, or None.
        head: what stands on the body.
    """

    def __init__(
        self,
        model: nn.Module,
        body: nn.Module,
        entry: list[nn.Module],
        holder: nn.Module,
        name: str,
        norm: nn.Module | None,
        head: list[nn.Module],
    ) -> None:
        self.body, self.entry, self.norm = body, entry, norm
        self._holder, self._name = holder, name
        self.layers: list[nn.Module] = list(getattr(holder, name))
        self._own = [list(layer.parameters()) for layer in self.layers]
        above = {id(p) for module in (*head, *([norm] if norm is not None else [])) for p in module.parameters()}
        above |= {id(p) for own in self._own for p in own}
        entries = {id(p) for module in entry for p in module.parameters()}  # a head may be tied to the embeddings
        self._under = [p for p in model.parameters() if id(p) not in above or id(p) in entries]
        self._norm = list(norm.parameters()) if norm is not None else []
        self._asleep = 0
        self._upper: dict[int, nn.ModuleList] = {}

    def __len__(self) -> int:
        return len(self.layers)

    def frozen(self) -> int:
        """How many layers lie below everything that learns; 0 where the embeddings learn, all where a head alone does.

        Looks at every parameter's `requires_grad` up to the first that learns: 10 microseconds for six layers.
        """
        for p in self._under:
            if p.requires_grad:
                return 0
        for i, own in enumerate(self._own):
            for p in own:
                if p.requires_grad:
                    return i
        return len(self._own)

    @property
    def norm_learns(self) -> bool:
        """Whether what stands between the last layer and the head learns."""
        return any(p.requires_grad for p in self._norm)

    def below(self, depth: int) -> list[nn.Module]:
        """The modules of the first `depth` layers and of what makes their input; none for no layer."""
        return [*self.entry, *self.layers[:depth]] if depth else []

    def settle(self, depth: int) -> None:
        """Puts what lies below into evaluation mode, in a model that is in training mode; the rest back into training."""
        if depth == self._asleep and not (depth and self.layers[0].training):
            return
        for module in self.below(depth):
            module.eval()
        for module in self.layers[depth : self._asleep]:
            module.train()
        if not depth:
            for module in self.entry:
                module.train()
        self._asleep = depth

    @contextmanager
    def entered(self, depth: int, states: Tensor) -> Iterator[None]:
        """Inside, the body goes on from `states` (T, D), the input of layer `depth`, whatever tokens it is given."""
        laid = states[None]
        stubs: list[Callable[..., Tensor]] = [lambda *args, **named: laid]
        for module in self.entry[1:]:
            # positions are added to what the first has given, all else makes something of it
            positions = isinstance(module, nn.Embedding)
            stubs.append((lambda *a, **n: laid.new_zeros(())) if positions else (lambda x, *a, **n: x))
        if depth not in self._upper:
            self._upper[depth] = nn.ModuleList(self.layers[depth:])
        whole = self._holder._modules[self._name]
        before = [module.__dict__.get("forward") for module in self.entry]
        self._holder._modules[self._name] = self._upper[depth]
        for module, stub in zip(self.entry, stubs, strict=True):
            module.__dict__["forward"] = stub
        try:
            yield
        finally:
            self._holder._modules[self._name] = whole
            for module, own in zip(self.entry, before, strict=True):
                module.__dict__.pop("forward")
                if own is not None:
                    module.__dict__["forward"] = own

    def reached(self, depth: int, run: Callable[[], Any]) -> Tensor:
        """(T, D) what layer `depth` is given (the last norm, where there is no such layer) as `run` runs the body, which
        goes no further."""
        target = self.layers[depth] if depth < len(self.layers) else self.norm
        assert target is not None
        handle = target.register_forward_pre_hook(_stop, prepend=True, with_kwargs=True)
        try:
            run()
        except _ReachedError as reached:
            return reached.hidden[0]
        finally:
            handle.remove()
        raise RuntimeError(f"layer {depth} was not called")


class _ReachedError(Exception):
    """Carries what a layer was given out of the body."""

    def __init__(self, hidden: Tensor) -> None:
        super().__init__()
        self.hidden = hidden


def _stop(module: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
    raise _ReachedError(args[0] if args else named["hidden_states"])


def layers_of(model: nn.Module, inner: Any) -> Layers | None:
    """The layers of a model of a family that is known here, else None.

    Args:
        model: what an adaptation may have put around `inner`, transformers' own model with its head.
    """
    kind, body = str(inner.config.model_type), inner.base_model
    if body is inner:
        return None
    norm: nn.Module | None = None
    if kind in _BERT:
        entry, holder, name = [body.embeddings], body.encoder, "layer"
        if hasattr(body, "embeddings_project"):
            entry.append(body.embeddings_project)
    elif kind == "distilbert":
        entry, holder, name = [body.embeddings], body.transformer, "layer"
    elif kind == "modernbert":
        entry, holder, name, norm = [body.embeddings], body, "layers", body.final_norm
    elif kind == "gpt2":
        entry, holder, name, norm = [body.wte, body.wpe, body.drop], body, "h", body.ln_f
    elif kind in _LLAMA:
        entry, holder, name, norm = [body.embed_tokens], body, "layers", body.norm
    else:
        return None
    head = [child for child_name, child in inner.named_children() if child is not body and child_name in _ABOVE]
    pooler = getattr(body, "pooler", None)
    if isinstance(pooler, nn.Module):
        head.append(pooler)
    return Layers(model, body, entry, holder, name, norm, head) if len(getattr(holder, name)) else None


def state_of(modules: list[nn.Module]) -> Iterator[tuple[str, Tensor]]:
    """Names and values of all that a computation of these modules depends on: parameters and buffers."""
    for i, module in enumerate(modules):
        for name, value in (*module.named_parameters(), *module.named_buffers()):
            yield f"{i}.{name}", value.detach() if isinstance(value, torch.nn.Parameter) else value
