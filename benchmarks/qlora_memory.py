"""What QLoRA saves: bytes a parameter and peak memory on a Llama of about one billion random parameters.

    python benchmarks/qlora_memory.py --out runs/qlora_memory
    python benchmarks/qlora_memory.py --layers 4 --contenders nf4 float32

The weights are drawn once, in bfloat16 as most checkpoints are, and written as a checkpoint. Each contender is a process of its
own that reads them, puts LoRA on top, and takes a few training steps on random tokens: frozen weights as nf4, fp4 or int8
(`[{quantized: nf4}, {lora: ...}]`), as float32 (`{lora: ...}`, what a run without quantization does), and as bfloat16 (which
no recipe does; here to compare with). Memory is what the process has taken for itself (RssAnon, sampled), apart from pages of
the checkpoint's file, which the system can drop (they are in `with_files`).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CONTENDERS = ("nf4", "int8", "bfloat16", "float32")
MIB = 2**20


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--out", type=Path, default=Path("runs/qlora_memory"))
    add("--contenders", nargs="+", default=list(CONTENDERS), choices=[*CONTENDERS, "fp4"])
    add("--layers", type=int, default=22)
    add("--width", type=int, default=2048)
    add("--inner", type=int, default=5632, help="width of the feed-forward layers")
    add("--pieces", type=int, default=32000)
    add("--untied", action="store_true", help="a product with the vocabulary apart from the embeddings")
    add("--tokens", type=int, default=512, help="in a step")
    add("--steps", type=int, default=3)
    add("--rank", type=int, default=16)
    add("--model", type=Path, help=argparse.SUPPRESS)
    add("--contender", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


class Watch:
    """The most memory that this process has taken for itself since the last look, in MiB."""

    def __init__(self) -> None:
        self.most = self.now()
        threading.Thread(target=self._sample, daemon=True).start()

    @staticmethod
    def now(field: str = "RssAnon") -> float:
        """A field of /proc/self/status."""
        text = Path("/proc/self/status").read_text(encoding="utf-8")
        return next(int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith(f"{field}:"))

    def _sample(self) -> None:
        while True:
            self.most = max(self.most, self.now())
            time.sleep(0.005)

    def look(self) -> float:
        """The peak so far; the next one starts here."""
        most, self.most = max(self.most, self.now()), self.now()
        return round(most, 1)


def make(options: argparse.Namespace, folder: Path) -> None:
    """Writes the checkpoint: random weights in bfloat16, and a tokenizer of bytes that no token here needs."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from tunewright.models.toy import byte_tokenizer

    config = LlamaConfig(
        vocab_size=options.pieces, hidden_size=options.width, num_hidden_layers=options.layers,
        num_attention_heads=options.width // 64, num_key_value_heads=max(options.width // 512, 1),
        intermediate_size=options.inner, max_position_embeddings=2048, tie_word_embeddings=not options.untied,
        pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    model = LlamaForCausalLM(config)
    torch.set_default_dtype(torch.float32)
    model.save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """One contender: what its weights take, its peaks, and the seconds of its steps."""
    import torch

    from tunewright.adaptations import Lora, Quantized
    from tunewright.core.tensors import Batch, parameters_of, trainable
    from tunewright.models.forward import ModelForward
    from tunewright.models.loading import auto_class, find, load
    from tunewright.models.precision import chosen
    from tunewright.objectives import CrossEntropy
    from tunewright.training import train
    from tunewright.updates import AdamW

    kind, watch = options.contender, Watch()
    start = watch.look()
    began = time.perf_counter()
    if kind == "bfloat16":
        model = auto_class("causal_lm").from_pretrained(options.model, dtype=torch.bfloat16)
    else:
        stores = None if kind == "float32" else Quantized(kind)
        model = load(find(str(options.model)), (), 0, "causal_lm", stores=stores).model
    loading, seconds = watch.look(), time.perf_counter() - began
    size = parameters_of(model)
    weights = {id(t): t for t in (*model.parameters(), *model.buffers())}.values()
    held = sum(t.numel() * t.element_size() for t in weights)
    loaded = watch.now()
    model = Lora(rank=options.rank).attach(model, 0).train()
    forward, parameters = ModelForward(model, precision=chosen("auto", "cpu")), trainable(model)
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(3, options.pieces, (options.tokens,), generator=generator)
    batch = Batch(("row",), tokens, (options.tokens,), tokens[1:], torch.arange(options.tokens - 1), "token",
                  keys=torch.tensor([1]))  # fmt: skip
    attaching, times, losses = watch.look(), [], []
    windows, update = iter(lambda: [batch], None), AdamW(rate=1e-4).bind(parameters)
    began = time.perf_counter()
    for report in train(forward, windows, CrossEntropy(), update, parameters, steps=options.steps):
        times.append(round(time.perf_counter() - began, 3))
        losses.append(round(report.loss, 4))
        began = time.perf_counter()
    return {
        "contender": kind, "parameters": size, "bytes_a_parameter": round(held / size, 4), "weights_mib": round(held / MIB, 1),
        "trainable": sum(p.numel() for p in parameters.values()), "start_mib": start, "loading_peak_mib": loading,
        "loaded_mib": round(loaded, 1), "attaching_peak_mib": attaching, "training_peak_mib": watch.look(),
        "with_files_mib": round(watch.now("VmHWM"), 1), "loading_seconds": round(seconds, 1), "step_seconds": times,
        "losses": losses, "precision": forward.precision, "threads": torch.get_num_threads(),
    }  # fmt: skip


def _line(row: dict[str, Any]) -> str:
    peaks = f"{row['loading_peak_mib']:,.0f} MiB loading, {row['training_peak_mib']:,.0f} MiB training"
    return (f"{row['contender']:>9}: {row['bytes_a_parameter']:.3f} bytes a parameter; peaks: {peaks}; "
            f"last step {row['step_seconds'][-1]:.1f} s")  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Makes the checkpoint, measures each contender in a fresh process, one after the other, and writes the figures."""
    options = parse(arguments)
    if options.contender == "make":
        make(options, options.model)
        return
    if options.contender:
        print(json.dumps(measure(options)))
        return
    options.out.mkdir(parents=True, exist_ok=True)
    rows = []
    with tempfile.TemporaryDirectory(dir=options.out) as place:
        again = [sys.executable, __file__, *(arguments if arguments is not None else sys.argv[1:])]
        subprocess.run([*again, "--model", place, "--contender", "make"], check=True)
        for kind in options.contenders:
            said = subprocess.run(
                [*again, "--model", place, "--contender", kind], check=True, stdout=subprocess.PIPE, text=True
            )
            rows.append(json.loads(said.stdout.splitlines()[-1]))
            print(_line(rows[-1]), flush=True)
    asked = {n: v for n, v in vars(options).items() if n not in ("out", "model", "contender")}
    found = {"asked": asked, "cores": os.cpu_count(), "contenders": rows}
    (options.out / "figures.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
