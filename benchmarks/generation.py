"""Generating texts with a decoder: Tunewright against `model.generate` of transformers.

    python benchmarks/generation.py --out result.json --markdown result.md
    python benchmarks/generation.py --quick

- 64 prompts of mixed lengths (questions of gsm8k), greedy, 64 new tokens each; once with no early end, and once with
  ends: tokens are made end tokens until texts are about half as long, for everyone alike.
- Two models: random weights in the shape of a small Llama (about 25 million parameters, 32,000 tokens), and the
  pretrained stories260K, where there is one.
- The peer as it comes (float32, padded batches of 16 in the rows' order) and as an expert would set it: sorted by
  length, bfloat16 weights, in batches of 16, 32 and 64, and float32; the fastest in the median counts as tuned. Ours
  runs in both precisions too, and the faster counts as ours.
- Everyone in one process, one after the other, rounds in turn (A B, B A, ...), medians; a ratio is the median of the
  rounds' own ratios. Wall-clock seconds, and CPU seconds beside them; the load before each round is in the result.
- Beside the speed stands how far the texts are those of float32: the same tokens in float32, save where two scores are
  equal but for rounding; in bfloat16 the share of equal texts and of what comes before the first difference.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch

from tunewright.models.generation import Generation, Prompt, generate

SHARED = Path(os.environ.get("TUNEWRIGHT_SHARED", Path(__file__).resolve().parents[2] / "shared"))
SHAPE: dict[str, Any] = {
    "vocab_size": 32000, "hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 8, "head_dim": 64,
    "num_attention_heads": 6, "num_key_value_heads": 2, "tie_word_embeddings": True, "max_position_embeddings": 2048,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
Texts = list[list[int]]


@dataclass(frozen=True)
class Job:
    """What everyone must do: a model in two precisions, prompts, new tokens, tokens that end."""

    name: str
    model: Any
    narrow: Any
    prompts: list[Prompt]
    new: int
    end: tuple[int, ...] = ()


@dataclass
class Found:
    """What a contender took in each round, and its texts."""

    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    texts: Texts = field(default_factory=list)

    @property
    def tokens(self) -> int:
        return sum(len(text) for text in self.texts)


class Silent:
    """No text is wanted of the tokens: the peer makes none either."""

    def decode(self, tokens: Sequence[int], **options: Any) -> str:
        """Nothing."""
        return ""


def ours(precision: Any) -> Callable[[Job], Texts]:
    """Tunewright in one precision; what it lays out is part of the time. A text's end token is counted."""

    def run(job: Job) -> Texts:
        options = Generation(max_new_tokens=job.new)
        made = generate(
            job.model, job.prompts, options, seed=0, tokenizer=Silent(), end=job.end, precision=precision
        )  # fmt: skip
        return [[*text.tokens, *([] if text.truncated else [-1])] for text in made]

    return run


def peer(batch: int, *, narrow: bool, ordered: bool) -> Callable[[Job], Texts]:
    """`model.generate` in left-padded batches."""

    def run(job: Job) -> Texts:
        model, prompts = job.narrow if narrow else job.model, job.prompts
        order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i].tokens)) if ordered else range(len(prompts))
        texts: Texts = [[] for _ in prompts]
        for first in range(0, len(prompts), batch):
            rows = list(order)[first : first + batch]
            longest = max(len(prompts[i].tokens) for i in rows)
            tokens = torch.zeros(len(rows), longest, dtype=torch.int64)
            mask = torch.zeros_like(tokens)
            for row, i in enumerate(rows):
                tokens[row, longest - len(prompts[i].tokens) :] = torch.as_tensor(prompts[i].tokens)
                mask[row, longest - len(prompts[i].tokens) :] = 1
            out = model.generate(
                tokens, attention_mask=mask, do_sample=False, max_new_tokens=job.new, pad_token_id=0,
                eos_token_id=list(job.end) or None,
            )  # fmt: skip
            for row, i in enumerate(rows):
                texts[i] = _until(out[row, longest:].tolist(), job.end)
        return texts

    return run


def _until(tokens: list[int], end: Sequence[int]) -> list[int]:
    """Up to the first end token, which is written -1."""
    at = next((i for i, token in enumerate(tokens) if token in end), None)
    return tokens if at is None else [*tokens[:at], -1]


CONTENDERS: dict[str, tuple[str, Callable[[Job], Texts]]] = {
    "default": ("generate as it comes: float32, batches of 16", peer(16, narrow=False, ordered=False)),
    "tuned_16": ("generate, tuned: bfloat16, sorted, batches of 16", peer(16, narrow=True, ordered=True)),
    "tuned_32": ("generate, tuned: bfloat16, sorted, batches of 32", peer(32, narrow=True, ordered=True)),
    "tuned_64": ("generate, tuned: bfloat16, sorted, batches of 64", peer(64, narrow=True, ordered=True)),
    "tuned_float32": ("generate, tuned: float32, sorted, batches of 64", peer(64, narrow=False, ordered=True)),
    "ours_float32": ("Tunewright, float32", ours("float32")),
    "ours_bfloat16": ("Tunewright, bfloat16", ours("bfloat16")),
}


def questions(n: int) -> list[str]:
    """The first questions of gsm8k, or made-up ones."""
    path = SHARED / "data" / "gsm8k" / "train.jsonl"
    if path.is_file():
        with path.open(encoding="utf-8") as lines:
            return [json.loads(line)["question"] for line, _ in zip(lines, range(n), strict=False)]
    random = np.random.default_rng(0)
    return [
        " ".join(["how", "many"][int(x)] for x in random.integers(0, 2, random.integers(20, 110))) for _ in range(n)
    ]


def jobs(n: int, new: int) -> list[Job]:
    """The models and their prompts; the second of each has ends."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    texts, found = questions(n), []
    torch.manual_seed(0)
    llama = AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", **SHAPE), attn_implementation="sdpa").eval()
    words: dict[str, int] = {}
    rows = [[5 + words.setdefault(w, len(words)) % 31990 for w in text.replace(".", " .").split()] for text in texts]
    found.append(("Llama shape, 25 million parameters, random weights", llama, rows))
    place = SHARED / "models" / "stories260K"
    if place.is_dir():
        model = AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32).eval()
        tokenizer = AutoTokenizer.from_pretrained(place)
        found.append(("stories260K, pretrained", model, [tokenizer(text)["input_ids"][:440] for text in texts]))
    out = []
    for name, model, tokens in found:
        prompts = [Prompt(f"row{i}", np.array(row, dtype=np.int64)) for i, row in enumerate(tokens)]
        job = Job(f"{name}; no early end", model, copy.deepcopy(model).bfloat16(), prompts, new)
        out += [job, Job(f"{name}; ends", model, job.narrow, prompts, new, _ends(ours("float32")(job), new))]
    return out


def _ends(texts: Texts, new: int) -> tuple[int, ...]:
    """Tokens that, made end tokens, leave about half of all tokens."""
    random, end = np.random.default_rng(0), set[int]()
    for i in random.permutation(len(texts)):
        lengths = [next((at + 1 for at, token in enumerate(text) if token in end), new) for text in texts]
        if statistics.mean(lengths) <= new / 2:
            break
        if lengths[i] == new:
            end.add(texts[i][int(random.integers(new // 8, new))])
    return tuple(sorted(end))


def measure(job: Job, names: Sequence[str], rounds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """All rounds of one job: a warm-up, then everyone in turn, forwards and backwards."""
    found = {name: Found() for name in names}
    for name in names:
        CONTENDERS[name][1](Job(job.name, job.model, job.narrow, job.prompts[:4], 4, job.end))
    loads = []
    for number in range(rounds):
        loads.append(os.getloadavg()[0])
        for name in names if number % 2 == 0 else reversed(names):
            wall, cpu = time.perf_counter(), time.process_time()
            texts = CONTENDERS[name][1](job)
            found[name].seconds.append(time.perf_counter() - wall)
            found[name].cpu.append(time.process_time() - cpu)
            found[name].texts = texts
            say(f"{job.name}: round {number + 1}, {name}: {found[name].tokens / found[name].seconds[-1]:,.0f} tokens/s")
    return summary(job, found, loads)


def summary(job: Job, found: dict[str, Found], loads: list[float]) -> dict[str, Any]:
    """Medians, ratios and gates."""
    rates = {name: statistics.median(f.tokens / s for s in f.seconds) for name, f in found.items()}
    tuned, best = (
        max((name for name in rates if name.startswith(kind)), key=lambda name: rates[name], default="")
        for kind in ("tuned", "ours")
    )
    exact = next((f.texts for name, f in found.items() if name in ("default", "ours_float32")), [])
    ratios = {}
    for name, other in dict.fromkeys(((best, "default"), (best, tuned), ("ours_float32", "default"))):
        if name in found and other in found:
            a, b = found[name], found[other]
            each = [
                [(a.tokens / x) / (b.tokens / y) for x, y in zip(p, q, strict=True)]
                for p, q in ((a.seconds, b.seconds), (a.cpu, b.cpu))
            ]
            ratios[f"{CONTENDERS[name][0]} / {CONTENDERS[other][0]}"] = {
                "median": statistics.median(each[0]), "least": min(each[0]), "greatest": max(each[0]),
                "cpu": statistics.median(each[1]),
            }  # fmt: skip
    return {
        "job": job.name,
        "prompts": len(job.prompts),
        "lengths": {"least": min(map(_size, job.prompts)), "greatest": max(map(_size, job.prompts))},
        "contenders": {
            name: {
                "title": CONTENDERS[name][0], "tokens_per_second": rates[name], "cpu_seconds": statistics.median(f.cpu),
                "tokens": f.tokens, "same_texts": _same(f.texts, exact), "same_start": _start(f.texts, exact),
                "seconds": f.seconds,
            }
            for name, f in found.items()
        },
        "tuned": tuned, "ratios": ratios, "loads": loads,
    }  # fmt: skip


def _size(prompt: Prompt) -> int:
    return len(prompt.tokens)


def _same(texts: Texts, exact: Texts) -> float:
    return statistics.mean(a == b for a, b in zip(texts, exact, strict=True))


def _start(texts: Texts, exact: Texts) -> float:
    """The mean share of a text that is the same before the first difference."""
    shares = []
    for a, b in zip(texts, exact, strict=True):
        same = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
        shares.append(same / max(len(a), len(b), 1))
    return statistics.mean(shares)


def markdown(results: Sequence[dict[str, Any]]) -> str:
    """The tables."""
    lines = []
    for r in results:
        lines += [
            f"### {r['job']}", "",
            f"{r['prompts']} prompts of {r['lengths']['least']} to {r['lengths']['greatest']} tokens. Load of the machine "
            f"before the rounds: {min(r['loads']):.1f} to {max(r['loads']):.1f}.", "",
            "| contender | new tokens/s | CPU s | tokens | texts as float32's | up to the first difference |",
            "| --- | ---: | ---: | ---: | ---: | ---: |",
        ]  # fmt: skip
        lines += [
            f"| {c['title']} | {c['tokens_per_second']:,.0f} | {c['cpu_seconds']:.2f} | {c['tokens']:,} | "
            f"{c['same_texts']:.0%} | {c['same_start']:.0%} |"
            for c in r["contenders"].values()
        ]
        lines += [
            "",
            "| ratio of tokens a second | median | least - greatest | in CPU seconds |",
            "| --- | ---: | ---: | ---: |",
        ]
        lines += [
            f"| {name} | {x['median']:.2f} | {x['least']:.2f} - {x['greatest']:.2f} | {x['cpu']:.2f} |"
            for name, x in r["ratios"].items()
        ]
        lines.append("")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0: everything ran."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--contenders", nargs="+", choices=[*CONTENDERS], default=[*CONTENDERS], metavar="NAME")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--new", type=int, default=64, help="new tokens of each text")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--out", type=Path, default=None, help="write everything as JSON")
    parser.add_argument("--markdown", type=Path, default=None, help="write the tables as Markdown")
    parser.add_argument("--quick", action="store_true", help="a smoke test: figures without meaning")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    n, new, rounds = (6, 8, 1) if options.quick else (options.prompts, options.new, options.rounds)
    results = [measure(job, options.contenders, rounds, lambda line: print(line, flush=True)) for job in jobs(n, new)]
    for path, text in (
        (options.out, json.dumps({"threads": torch.get_num_threads(), "results": results}, indent=1)),
        (options.markdown, markdown(results)),
    ):
        if path:
            path.write_text(text, encoding="utf-8")
    print(markdown(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
