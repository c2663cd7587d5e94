"""What every shipped adaptation learns, takes and is worth on real tweets: the table of docs/adaptations.md.

    python benchmarks/adaptation_costs.py --out costs.json --docs
    python benchmarks/adaptation_costs.py --quick

Every recipe of examples/adaptations, and those of full, LoRA and frozen layers, with its own rate, schedule and update, on the
same rows for the same number of epochs, each in a fresh process. What is in `--out` already, of the same rows and recipe, is not
measured again: a run that was stopped goes on. `--docs` writes the table between the marks in both pages.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from encoder_figures import wilson
from encoder_rows import default_data, draw, made_up, read
from rounds import WorkerError, ask
from sitting import machine, today, versions, write

ROOT = Path(__file__).resolve().parents[1]
BEGINS, ENDS = "<!-- figures -->", "<!-- end of figures -->"
FIRST = ("full", "lora", "frozen_top_layers")
COMMAND = "python benchmarks/adaptation_costs.py --out costs.json --docs"


def recipes() -> dict[str, Path]:
    """The shipped recipes of adaptations by name."""
    examples = ROOT / "examples"
    paths = [examples / f"{name}.yaml" for name in FIRST] + sorted((examples / "adaptations").glob("*.yaml"))
    return {path.stem: path for path in paths}


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--recipes", nargs="+", choices=[*recipes()], default=[*recipes()], metavar="RECIPE")
    add("--train-rows", type=int, default=2000)
    add("--valid-rows", type=int, default=2000)
    add("--epochs", type=int, default=2)
    add("--seed", type=int, default=0)
    add("--out", type=Path, default=None, help="every row as JSON; what is there is not measured again")
    add("--docs", action="store_true", help="write the table into docs/adaptations.md and its Chinese twin")
    add("--quick", action="store_true", help="a smoke test: few rows, figures without meaning")
    options = parser.parse_args(arguments)
    if options.quick:
        options.train_rows, options.valid_rows, options.epochs = 64, 32, 1
        if options.docs:
            parser.error("--docs with --quick: figures without meaning do not go into a page")
    return options


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All rows that are not known yet, each written down as soon as it is there.

    Raises:
        SystemExit: a recipe failed; what was measured before it is kept.
    """
    settings = {"train_rows": options.train_rows, "valid_rows": options.valid_rows, "epochs": options.epochs,
                "seed": options.seed}  # fmt: skip
    document: dict[str, Any] = {"date": today(), "machine": machine(), "versions": versions("peft", "bitsandbytes"),
                                "settings": settings, "rows": {}}  # fmt: skip
    if options.out is not None and options.out.is_file():
        known = json.loads(options.out.read_text(encoding="utf-8"))
        if known["settings"] == settings and known["machine"] == document["machine"]:
            document = known
    path, total = default_data(), options.train_rows + options.valid_rows
    pairs = made_up(total) if options.quick and not path.is_file() else read(path, "text", "sentiment")
    with tempfile.TemporaryDirectory(prefix="adaptation-costs-") as folder:
        rows = Path(folder) / "rows.json"
        rows.write_text(
            json.dumps(asdict(draw(pairs, options.train_rows, options.valid_rows, options.seed))), encoding="utf-8"
        )
        for name in options.recipes:
            recipe = recipes()[name]
            own = hashlib.sha256(recipe.read_bytes()).hexdigest()
            if document["rows"].get(name, {}).get("recipe") == own:
                continue
            try:
                answer = ask(Path(folder), {"jobs": "adaptation_cost_jobs", "job": "contend", "recipe": str(recipe),
                                            "rows": str(rows), "epochs": options.epochs, "seed": options.seed})  # fmt: skip
            except WorkerError as error:
                raise SystemExit(f"{name}: {error}") from error
            document["rows"][name] = {**answer, "recipe": own}
            sys.stdout.write(f"{name}: {answer['train_seconds']:.1f} s of training\n")
            sys.stdout.flush()
            if options.out is not None:
                write(options.out, json.dumps(document, ensure_ascii=False, indent=1))
    return document


HEADS = {
    "en": ("recipe", "adaptation", "learns", "share", "step, ms", "training, s", "peak, MiB", "above rest, MiB", "saved, MB",
           "accuracy (95% interval)"),
    "zh": ("配方", "适配方式", "可训练参数", "占比", "每步，毫秒", "训练，秒", "峰值，MiB", "训练所加，MiB", "保存，MB",
           "准确率（95% 区间）"),
}  # fmt: skip


CORES = {"en": {"cores": "cores", "threads": "threads"}, "zh": {"cores": "核", "threads": "线程"}}
ABOUT = {
    "en": ("## What each costs and is worth", (
        "Measured on {date} with `{command}`: MiniLM (22.7 million parameters) on {train_rows:,} tweets of three sentiments, "
        "{epochs} epochs ({steps} steps), accuracy on {valid_rows:,} other tweets with Wilson's interval, one seed. {at}. Each "
        "recipe at its own rate and schedule, in a process of its own. A step is the median; peak is the process's resident "
        "memory in training, and above rest is what training adds to the loaded model (gradients, moments, activations, what is"
        " kept of frozen layers). Of `full`, embeddings of tokens that do not occur are not counted. So few steps are enough to"
        " tell the costs; what learns slowly (prompts, prefixes) is far from its end."
    )),
    "zh": ("## 各自的成本与效果", (
        "于 {date} 用 `{command}` 测得：MiniLM（2270 万参数），{train_rows:,} 条三类情感的推文，{epochs} 轮（{steps} 步），"
        "在另外 {valid_rows:,} 条推文上的准确率与 Wilson 区间，一个种子。{at}。每个配方用自己的学习率与计划，在各自的进程中运行。"
        "每步为中位数；峰值是训练时进程的常驻内存，“训练所加”是在载入的模型之上由训练增加的部分（梯度、动量、激活，以及冻结层留存的"
        "结果）。`full` 不计未出现词元的嵌入。这么少的步数足以说明成本；学得慢的（提示、前缀）还远未到头。"
    )),
}  # fmt: skip


def table(document: dict[str, Any], language: str) -> list[str]:
    """The lines of the table, in the order of the recipes."""
    head = HEADS[language]
    lines = [f"| {' | '.join(head)} |", f"| --- | --- |{' --: |' * (len(head) - 2)}"]
    for name in (name for name in recipes() if name in document["rows"]):
        row = document["rows"][name]
        low, high = wilson(row["right"], row["items"])
        cells = (
            f"`{name}.yaml`", f"`{row['adaptation']}`", f"{row['learns']:,}", f"{row['learns'] / row['parameters']:.2%}",
            f"{1000 * row['step_seconds']:.0f}", f"{row['train_seconds']:.1f}", f"{row['peak_mib']:,.0f}",
            f"{row['peak_mib'] - row['before_mib']:,.0f}", f"{row['stored'] / 1e6:.2f}",
            f"{row['right'] / row['items']:.1%} ({100 * low:.1f} - {100 * high:.1f})",
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def section(document: dict[str, Any], language: str) -> list[str]:
    """What stands between the marks of a page."""
    had, where = document["settings"], document["machine"]
    threads = max(row["threads"] for row in document["rows"].values())
    packages = ", ".join(f"{name} {version}" for name, version in document["versions"].items() if name != "tunewright")
    steps = max(row["steps"] for row in document["rows"].values())
    at = f"{where['cpu']}, {where['cores']} {{cores}}, {threads} {{threads}}, {where['platform']}; {packages}"
    values = {**had, "date": document["date"], "command": COMMAND, "steps": steps}
    title, about = ABOUT[language]
    said = about.format(**values, at=at.format(**CORES[language]))
    return [BEGINS, "", title, "", *_wrapped(said, language), "", *table(document, language), "", ENDS]


def _wrapped(text: str, language: str) -> list[str]:
    import textwrap

    return [text] if language == "zh" else textwrap.wrap(text, 130, break_long_words=False, break_on_hyphens=False)


def put(page: str, lines: Sequence[str]) -> str:
    """The page with these lines in the place of what was between the marks.

    Raises:
        SystemExit: the page has no mark.
    """
    before, mark, after = page.partition(BEGINS)
    if not mark:
        raise SystemExit(f"the page has no {BEGINS}")
    rest = after.partition(ENDS)[2] if ENDS in after else after
    return before + "\n".join(lines) + rest


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, shows the table, and writes it where it was asked for."""
    options = parse(arguments)
    document = measure(options)
    sys.stdout.write("\n".join(section(document, "en")) + f"\nPython {platform.python_version()}\n")
    if options.docs:
        for language, name in (("en", "adaptations.md"), ("zh", "adaptations.zh-CN.md")):
            page = ROOT / "docs" / name
            write(page, put(page.read_text(encoding="utf-8"), section(document, language)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
