"""An encoder-decoder trained from nothing on 5,000 sentence pairs: whether the whole path of `seq2seq` learns to translate.

    python benchmarks/from_scratch.py --out runs/from_scratch
    python benchmarks/from_scratch.py --epochs 1 --rows 400

The tokenizer (byte-level BPE) is learnt from the training side's texts; a T5 of a few million random weights is trained
as a recipe would, and judged by chrF and BLEU with greedy and beam search against copying the source and the most
frequent target. This is no contest: it shows what so little data is worth, and that generation, losses and masks of
encoder-decoders fit together (a mask that is off by one learns nothing).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SHARED = Path(os.environ.get("TUNEWRIGHT_SHARED", Path(__file__).resolve().parents[2] / "shared"))
SHOWN = ("chrf", "bleu", "rougeL", "loss")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--data", type=Path, default=SHARED / "data/multi30k/train5k", help="the stem of parallel files .en and .de")
    add("--out", type=Path, default=Path("runs/from_scratch"))
    add("--rows", type=int, default=None, help="default: all")
    add("--epochs", type=float, default=30)
    add("--pieces", type=int, default=4000)
    add("--width", type=int, default=192)
    add("--layers", type=int, default=3)
    add("--rate", type=float, default=1e-3)
    return parser.parse_args(arguments)


def make_model(options: argparse.Namespace, folder: Path) -> int:
    """Writes tokenizer and random weights; returns how many there are."""
    import torch
    from tokenizers import ByteLevelBPETokenizer
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

    files = [str(options.data) + side for side in (".en", ".de")]
    inner = ByteLevelBPETokenizer(lowercase=False)
    inner.train(
        files, vocab_size=options.pieces, min_frequency=2, special_tokens=["<pad>", "</s>"], show_progress=False
    )
    inner._tokenizer.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner._tokenizer, pad_token="<pad>", eos_token="</s>", clean_up_tokenization_spaces=False
    )
    config = T5Config(
        vocab_size=len(tokenizer), d_model=options.width, d_kv=32, d_ff=4 * options.width, num_layers=options.layers,
        num_heads=options.width // 32, dropout_rate=0.2, pad_token_id=0, eos_token_id=1, decoder_start_token_id=0,
        tie_word_embeddings=True, feed_forward_proj="gated-gelu",
    )  # fmt: skip
    torch.manual_seed(0)
    model = T5ForConditionalGeneration(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return sum(p.numel() for p in model.parameters())


def recipe(options: argparse.Namespace, model: Path, method: str) -> dict[str, Any]:
    """The run as a recipe says it."""
    return {
        "task": "seq2seq",
        "data": {"train": str(options.data.resolve()), "text": "en", "label": "de", "limit": options.rows},
        "model": {"name": str(model.resolve()), "max_tokens": 64},
        "objective": {"cross_entropy": {"smoothing": 0.1}},
        "training": {"epochs": options.epochs, "batch": 64, "rate": options.rate,
                     "schedule": {"linear": {"warmup": 0.1}}},
        "evaluation": {"baselines": ["majority", "copy"]},
        "generation": {"method": method, "max_new_tokens": 48, "items": None, "beams": 4},
    }  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains once, writes greedily and by beam search, prints both."""
    options = parse(arguments)
    if not Path(f"{options.data}.en").is_file():
        raise SystemExit(f"there is no {options.data}.en: name the stem of parallel files with --data")
    from tunewright import run

    model = options.out / "base"
    model.mkdir(parents=True, exist_ok=True)
    size = make_model(options, model)
    print(f"T5 of {size:,} random weights")
    for method in ("greedy", "beam"):
        began = time.perf_counter()
        outcome = run(recipe(options, model, method), folder=options.out / "run")
        seconds = time.perf_counter() - began
        facts = json.loads((options.out / "run/run.json").read_text(encoding="utf-8"))
        print(
            f"{method}: {outcome.verdict}, {seconds:.0f} s in all, {facts['timings'].get('train', 0):.0f} s of training"
        )
        for contender in outcome.evidence["contenders"]:
            found = {n: contender["metrics"].get(n, {}) for n in SHOWN}
            said = [
                f"{n} {m['value']:.2f} [{m['low']:.2f}, {m['high']:.2f}]"
                for n, m in found.items()
                if m.get("value") is not None
            ]
            print(f"  {contender['title']}: {', '.join(said)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
