"""A model whose weights lie in 4 or 8 bits on the disk, in bitsandbytes' own format: plain transformers opens it, and so
do we.

What plain transformers does with such weights is bitsandbytes' own: on a CPU with AVX512_BF16 it multiplies 4-bit weights in
bfloat16 with their scales rounded to it, and it rounds the inputs of 8-bit weights to 8 bits. Opened here, the weights are
the same and the products are ours (`adaptations.stored`), in the precision that is asked for. So the two differ a little,
and `merge` measures both.

Only layers that both can use are quantized: of rows that are whole blocks, and of a multiple of 32 of them, as
bitsandbytes' kernel for CPUs wants; and none that transformers keeps in float32 for its family (T5's `wo`).
"""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tunewright.adaptations.quantized import Quantized, require
from tunewright.adaptations.stored import HALF, Kind, StoredLinear, dequantized
from tunewright.core.errors import Problem, RecipeError

KINDS: tuple[Kind, ...] = ("nf4", "fp4", "int8")
_ROWS = 32  # how many rows bitsandbytes' kernel for CPUs lays side by side


def quantize(model: Any, kind: Kind, dtype: torch.dtype, where: str) -> Any:
    """The plain `model` with the linear layers of its repeated blocks in `kind`, in place; all else in `dtype`.

    Raises:
        RecipeError: bitsandbytes is not installed, or no layer of the model can be quantized so that transformers opens it.
    """
    require(where)
    dequantized(model)
    how = Quantized(kind)
    spared = _spared(model)

    def fits(name: str, layer: Any) -> bool:
        rows, columns = layer.weight.shape if isinstance(layer, nn.Linear) else reversed(layer.weight.shape)
        whole = kind == "int8" or (columns % how.block == 0 and rows % _ROWS == 0)
        return whole and not any(part in spared for part in name.split("."))

    if not how.store(model, fits):
        raise RecipeError(
            Problem(where=where, found=f"{kind}, for a model without a linear layer of {how.block} n columns and {_ROWS} n rows",
                    to_do="leave it out: the model is too small to gain by it")
        )  # fmt: skip
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)
    model.config.dtype = dtype
    return model


def _spared(model: Any) -> set[str]:
    """Modules that transformers keeps in float32, whatever is asked for."""
    return {
        name
        for kept in ("_keep_in_fp32_modules", "_keep_in_fp32_modules_strict")
        for name in getattr(model, kept, None) or ()
    }


def write(model: Any, folder: Path) -> None:
    """Writes the quantized `model` and its configuration as transformers and bitsandbytes would."""
    weights = dict(model.state_dict())
    stored = {name: module for name, module in model.named_modules() if isinstance(module, StoredLinear)}
    for name, layer in stored.items():
        weights |= {f"{name}.{end}": tensor.contiguous() for end, tensor in _tensors(layer).items()}
    first = next(iter(stored.values()))
    plain = [n for n, m in model.named_modules() if n not in stored and _is_linear(m)]
    model.config.quantization_config = _configuration(first, plain, model.config.dtype)
    try:
        model.save_pretrained(folder, state_dict=weights)
    finally:
        del model.config.quantization_config


def _tensors(layer: StoredLinear) -> dict[str, Tensor]:
    if layer.kind == "int8":
        return {"weight": layer.packed, "SCB": layer.scales, "weight_format": torch.tensor(0, dtype=torch.uint8)}
    beside = layer.state(torch.float32).as_dict(packed=True)
    return {"weight": layer.packed, **{f"weight.{name}": tensor for name, tensor in beside.items()}}


def _is_linear(module: nn.Module) -> bool:
    from transformers.pytorch_utils import Conv1D

    return isinstance(module, nn.Linear | Conv1D)


def _configuration(layer: StoredLinear, plain: list[str], dtype: torch.dtype) -> Any:
    """transformers' words for it; `plain` are the linear layers that stay as they are."""
    from transformers import BitsAndBytesConfig

    spared = [re.escape(name) for name in plain]
    if layer.kind == "int8":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_threshold=0.0, llm_int8_skip_modules=spared)
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type=layer.kind, bnb_4bit_use_double_quant=layer.outer is not None,
        bnb_4bit_compute_dtype=dtype, llm_int8_skip_modules=spared,
    )  # fmt: skip


def is_quantized(folder: Path) -> bool:
    """Whether the weights in a folder are kept in few bits."""
    path = folder / "config.json"
    return path.is_file() and "quantization_config" in json.loads(path.read_text(encoding="utf-8"))


def taken(model: Any) -> Any:
    """A model that transformers has opened with bitsandbytes' layers, with ours over the same weights, all else in float32;
    others as they are."""
    if getattr(model, "quantization_method", None) is None:
        return model
    require("model")
    for name, module in list(model.named_modules()):
        made = _taken(module)
        if made is not None:
            model.set_submodule(name, made.train(module.training))
    _widened(model)
    for said in ("hf_quantizer", "is_quantized", "quantization_method", "is_loaded_in_4bit", "is_loaded_in_8bit"):
        if hasattr(model, said):
            delattr(model, said)
    known = (
        getattr(model, "_weight_conversions", None) or []
    )  # what saving would do backwards, and bitsandbytes' part has no way back
    model._weight_conversions = [one for one in known if not any(_of_bits(op) for op in getattr(one, "operations", ()))]
    del model.config.quantization_config
    return model


def _of_bits(operation: Any) -> bool:
    return type(operation).__name__.startswith("Bnb")


def _taken(layer: Any) -> StoredLinear | None:
    from bitsandbytes.nn import Linear4bit, Linear8bitLt

    none = dict.fromkeys(("outer", "levels", "offset"))
    shape = (getattr(layer, "out_features", 0), getattr(layer, "in_features", 0))
    turned = getattr(layer, "source_cls", nn.Linear) is not nn.Linear
    if isinstance(layer, Linear8bitLt):
        scales = layer.weight.SCB if layer.state.SCB is None else layer.state.SCB
        tensors = {"packed": layer.weight.data, "scales": scales, **none}
        return StoredLinear.holding(shape, layer.bias, "int8", 64, turned, tensors)
    if not isinstance(layer, Linear4bit):
        return None
    state = layer.weight.quant_state
    tensors = {"packed": layer.weight.data, "scales": state.absmax, **none}
    if state.nested:
        tensors |= {"outer": state.state2.absmax, "levels": state.state2.code, "offset": state.offset}
    return StoredLinear.holding(shape, layer.bias, state.quant_type, state.blocksize, turned, tensors)


def opened_plainly(folder: Path, kind: Any) -> Any:
    """The model with the layers that whoever has transformers alone gets, in evaluation mode, what lies between them in
    float32; `kind` is its class of transformers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _widened(kind.from_pretrained(folder, local_files_only=True, dtype=torch.float32).eval())


def _widened(model: Any) -> Any:
    """All 16-bit parameters in float32: of weights that are quantized already transformers leaves the others as they lie."""
    for parameter in model.parameters():
        if parameter.dtype in HALF:
            parameter.data = parameter.data.float()
    return model
