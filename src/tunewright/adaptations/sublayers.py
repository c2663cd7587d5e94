"""Where in a model the layers' attentions and feed-forwards end: by family, and by structure in families unknown here.

A name is read from its last layer number on: `encoder.layer.3.attention.output.dense` is `attention.output.dense` of
layer 3. By structure, a layer is what has a product that narrows (the feed-forward's end) and, before it, products as
wide as that one's result, the last of each attention being the attention's end.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import Any

from torch import nn

_TAIL = re.compile(r"(?:.*\.)?\d+\.([^\d].*)")
_BERT = ("attention.output.dense", "crossattention.output.dense"), "output.dense"
_LLAMA = ("self_attn.o_proj",), "mlp.down_proj"
_T5 = ("SelfAttention.o", "EncDecAttention.o"), "DenseReluDense.wo"
_BART = ("self_attn.out_proj", "encoder_attn.out_proj"), "fc2"
FAMILIES: dict[str, tuple[tuple[str, ...], str]] = {
    **dict.fromkeys(("bert", "roberta", "xlm-roberta", "camembert", "electra"), _BERT),
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3"), _LLAMA),
    **dict.fromkeys(("t5", "mt5"), _T5),
    **dict.fromkeys(("bart", "mbart"), _BART),
    "distilbert": (("attention.out_lin",), "ffn.lin2"),
    "modernbert": (("attn.Wo",), "mlp.Wo"),
    "gpt2": (("attn.c_proj", "crossattention.c_proj"), "mlp.c_proj"),
}
"""For each `model_type`: the products that end a layer's attentions, and the one that ends its feed-forward."""


@dataclass(frozen=True)
class Ends:
    """Full names of modules: the products that end attentions, those that end feed-forwards."""

    attentions: tuple[str, ...]
    feed_forwards: tuple[str, ...]


def sides(module: nn.Module) -> tuple[int, int] | None:
    """(inputs, outputs) of a product: nn.Linear, one of bitsandbytes, GPT-2's Conv1D; None for any other module."""
    known: Any = module
    if hasattr(module, "in_features") and hasattr(module, "out_features"):
        return int(known.in_features), int(known.out_features)
    if hasattr(module, "nx") and hasattr(module, "nf"):
        return int(known.nx), int(known.nf)
    return None


def ends(model: nn.Module) -> Ends | None:
    """The ends of all layers; None where neither the family nor the structure tells them."""
    kind = str(getattr(getattr(model, "config", None), "model_type", ""))
    found = by_family(model, kind) if kind in FAMILIES else by_structure(model)
    return found if found.attentions and found.feed_forwards else None


def by_family(model: nn.Module, kind: str) -> Ends:
    """The ends that the family's names say."""
    attentions, feed_forward = FAMILIES[kind]
    tails = {name: tail.group(1) for name, _ in model.named_modules() if (tail := _TAIL.fullmatch(name))}
    return Ends(
        tuple(name for name, tail in tails.items() if tail in attentions),
        tuple(name for name, tail in tails.items() if tail == feed_forward),
    )


def by_structure(model: nn.Module) -> Ends:
    """The ends that the shapes of the layers' products say."""
    layers: dict[str, list[tuple[str, int, int]]] = {}
    for name, module in model.named_modules():
        tail, shape = _TAIL.fullmatch(name), sides(module)
        if tail and shape:
            layers.setdefault(name.removesuffix(tail.group(1)), []).append((tail.group(1), *shape))
    attentions, feed_forwards = [], []
    for prefix, products in layers.items():
        widened = {outputs for _, inputs, outputs in products if outputs > inputs}
        narrowing = [p for p in products if max(widened, default=0) >= p[1] > p[2] and not _attends(p[0])]
        if not narrowing:
            continue
        end, _, width = max(narrowing, key=lambda product: product[1])
        wide = [tail for tail, _, outputs in products if outputs == width and tail != end]
        named = {tail.split(".")[0]: tail for tail in wide if _attends(tail)}
        if wide:
            attentions += [prefix + tail for tail in (named.values() or wide[-1:])]
            feed_forwards.append(prefix + end)
    return Ends(tuple(attentions), tuple(feed_forwards))


def _attends(tail: str) -> bool:
    return "att" in tail.partition(".")[0].lower()


def beside(model: nn.Module, end: str) -> str | None:
    """What is to be wrapped so that something can stand beside the feed-forward that ends with `end`.

    The feed-forward as a whole, where it is one module that reads one tensor (Llama, GPT-2, T5); the module that takes
    what it has read beside its product and adds the two (`output` of the BERT family); or the product itself, where
    the one that reads lies beside it (BART). None where it is none of these.
    """
    holder = end.rpartition(".")[0]
    module, tail = model.get_submodule(holder), _TAIL.fullmatch(end)
    first = first_of(module, model.get_submodule(end))
    apart = tail is not None and "." in tail.group(1)
    if apart and reads(module) == (2 if first is None else 1):
        return holder
    return end if first is not None else None


def reads(module: nn.Module) -> int:
    """How many tensors a module's forward must be given."""
    named = inspect.signature(module.forward).parameters.values()
    return sum(p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD for p in named)


def first_of(holder: nn.Module, end: nn.Module) -> nn.Module | None:
    """The product of `holder` that reads what the feed-forward with this end reads; None where it is elsewhere."""
    shape = sides(end)
    for module in holder.children():
        inner = sides(module)
        if shape and inner and inner[0] == shape[1] and inner[1] > inner[0]:
            return module
    return None


def pattern(names: tuple[str, ...]) -> str:
    """A regular expression for these names with any layer numbers, as peft's `target_modules` takes one."""
    return "|".join(dict.fromkeys(re.sub(r"(?<=\\\.)\d+(?=\\\.)", r"\\d+", re.escape(name)) for name in names))
