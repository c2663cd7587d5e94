"""Hand-made evidence, cards and rows of a run that finds named entities, as the report reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fake_runs
from other_tasks import _compared, _decided, _ladder, _share

TYPES = ("TITLE", "ORG", "NAME", "EDU", "CONT", "PRO", "RACE", "LOC")
SUPPORT = (772, 553, 112, 112, 28, 33, 14, 6)
TEXTS = (
    "高勇：男，中国国籍，无境外居留权，1966年出生，汉族，中共党员，本科学历，工程师、美国项目管理协会注册会员（PMIMember）。",
    "Angela Merkel met executives of Volkswagen AG and the European Central Bank in São Paulo on Tuesday.",
    "Nobody of note was there, and <b>nothing</b> happened & no one minded.",
    "The quarterly report of Acme Corporation "
    + "was long and said very little of any use to its readers " * 14
    + "in Rome.",
    "زار محمد بن سلمان مدينة باريس يوم الثلاثاء.",
    "Line one of Ann Lee\r\nline two of Bob in Oslo",
)
SPANS: tuple[tuple[list[list[Any]], list[list[Any]]], ...] = (
    (
        [[0, 2, "NAME"], [5, 9, "CONT"], [25, 27, "RACE"], [28, 32, "TITLE"], [33, 37, "EDU"], [38, 41, "TITLE"], [42, 50, "ORG"]],
        [[0, 2, "NAME"], [5, 9, "LOC"], [25, 27, "RACE"], [33, 37, "EDU"], [38, 41, "TITLE"], [42, 54, "ORG"], [55, 64, "TITLE"]],
    ),
    (
        [[0, 13, "NAME"], [32, 45, "ORG"], [54, 75, "ORG"], [79, 88, "LOC"]],
        [[0, 6, "NAME"], [7, 13, "NAME"], [32, 45, "ORG"], [79, 82, "LOC"], [92, 99, "TITLE"]],
    ),
    ([], [[0, 6, "NAME"]]),
    ([[24, 40, "ORG"], [828, 832, "LOC"]], [[24, 40, "ORG"]]),
    ([[4, 17, "NAME"], [24, 29, "LOC"]], [[4, 8, "NAME"], [24, 29, "LOC"]]),
    ([[12, 19, "NAME"], [33, 36, "NAME"], [40, 44, "LOC"]], [[12, 19, "NAME"], [40, 44, "LOC"]]),
)  # fmt: skip
IDS = [f"{k:016x}" for k in range(60)]


def _figures(name: str, reach: float) -> dict[str, Any]:
    per_type = []
    for k, (kind, items) in enumerate(zip(TYPES, SUPPORT, strict=True)):
        level = 0.0 if kind == "LOC" and name != "tuned" else min(0.99, reach - 0.03 * k + 0.06)
        half = min(0.4, 0.9 / items**0.5)
        shares = {"precision": max(0.0, level - 0.02), "recall": min(1.0, level + 0.02), "f1": level}
        per_type.append({"type": kind, "support": items, **{key: _share(x, half) for key, x in shares.items()}})
    shares = {"f1": reach, "precision": reach - 0.01, "recall": reach + 0.01, "f1_macro": reach - 0.06}
    right = round(1630 * reach)
    errors = {
        "right": right,
        "boundary": round((1630 - right) * 0.4),
        "type": 31,
        "split_or_merged": 12,
        "missed": 40,
        "invented": 55,
    }
    return {"metrics": {key: _share(x, 0.012) for key, x in shares.items()}, "per_type": per_type, "errors": errors}


def entities() -> dict[str, Any]:
    """The evidence of eight types, two of them rare."""
    contenders = _ladder(
        _figures,
        ("lexicon", "Names seen in training", 0.547),
        ("tfidf", "Window features + logistic regression", 0.911),
        ("linear", "Frozen bert + linear head", 0.86),
        ("tuned", "Fine-tuned bert", 0.953),
    )
    mistakes = [
        {
            "id": IDS[k],
            "gold": gold,
            "output": output,
            "wrong": len([s for s in gold + output if (s in gold) != (s in output)]),
        }
        for k, (gold, output) in ((k, SPANS[k % len(SPANS)]) for k in range(20))
    ]
    gained = [{"id": IDS[20 + k], "gold": SPANS[k][0], "from": SPANS[k][1], "to": SPANS[k][0]} for k in range(6)]
    lost = [{"id": IDS[26 + k], "gold": SPANS[k][0], "from": SPANS[k][0], "to": SPANS[k][1]} for k in range(3)]
    comparisons = [
        _compared(against, metric, effect, 0.014, "paired bootstrap")
        for metric in ("f1", "precision", "recall", "f1_macro")
        for against, effect in (("lexicon", 0.406), ("tfidf", 0.042), ("linear", 0.093))
    ]
    found = {
        "task": "token_classification",
        "labels": sorted(TYPES),
        "contenders": contenders,
        "comparisons": comparisons,
        "mistakes": mistakes,
        "flips": {"against": "tfidf", "gained": gained, "lost": lost, "gained_total": 61, "lost_total": 22},
        "entities": sum(SUPPORT),
    }
    said = "Fine-tuned bert is better than Window features + logistic regression: 95.3% entity F1 against 91.1%."
    return _decided(found, comparisons[1], said)


def card() -> dict[str, Any]:
    """The data card of it."""
    types = [
        {"type": kind, "train": 7 * items, "validation": items, "test": items, "share": items / sum(SUPPORT)}
        for kind, items in zip(TYPES, SUPPORT, strict=True)
    ]
    spans = {"mean": 3.49, "median": 2, "max": 27, "none": 139}
    return {**fake_runs.card(), "classes": [], "types": types, "scheme": "BMES", "spans_per_item": spans}


def write_entities(folder: Path, evidence: dict[str, Any] | None = None, **files: Any) -> Path:
    """A run folder around this evidence."""
    run = {**fake_runs.run_json(), "task": "token_classification", "name": "resumes"}
    fake_runs.write_run(folder, evidence=evidence or entities(), run=run, card=files.pop("card", card()), **files)
    seen = fake_runs.evaluations()
    for row in seen:
        accuracy, macro = row["metrics"].pop("accuracy"), row["metrics"].pop("f1_macro")
        row["metrics"] |= {"f1": accuracy, "f1_macro": macro - 0.05}
    fake_runs.write_lines(folder / "evaluations.jsonl", seen)
    source = {"file": "resumes.bmes", "line": 7, "offset": 0}
    place = {one: k % len(SPANS) for k, one in enumerate(IDS[:20])}
    place |= {IDS[20 + k]: k for k in range(6)} | {IDS[26 + k]: k for k in range(3)}
    rows = [{"id": one, "text": TEXTS[k], "label": "[]", "source": source} for one, k in place.items()]
    fake_runs.write_lines(folder / "data/test.jsonl", rows)
    (folder / "recipe.yaml").write_text("task: token_classification\nmodel: minilm\n", encoding="utf-8")
    return folder
