"""Hand-made evidence, cards and rows of tasks whose items are texts, conversations or pairs of replies."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_runs
from entity_runs import entities, write_entities
from other_tasks import IDS, _compared, _decided, _ladder, _near, _share, multilabel, regression

SYSTEM = (
    "You are the help desk of a small railway. Answer in the language of the question, briefly, and never guess. " * 4
)
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "departures", "arguments": '{"from": "Zürich HB", "limit": 2, "via": ["Olten", "Biel"]}'},
}
TOOL = {"type": "function", "function": {"name": "departures", "description": "The next trains from a station."}}


def _said(role: str, content: str | None, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


CHATS: list[dict[str, Any]] = [
    {"messages": [_said("system", SYSTEM), _said("user", "When does the next train to Bern leave?")], "tools": [TOOL]},
    {
        "messages": [
            _said("system", "Be brief."),
            _said("user", "When does the next train leave from Zürich?"),
            _said("assistant", None, tool_calls=[CALL]),
            _said("tool", '[{"to": "Bern", "at": "11:02"}]', tool_call_id="call_1", name="departures"),
            _said("assistant", "At 11:02, to Bern.", weight=0),
            _said("user", "And is there a dining car? My code is:\n    if train:\n        eat(train)"),
        ],
        "tools": [TOOL],
    },
    {"messages": [_said("user", "متى يغادر القطار التالي إلى برن؟ أحتاج إلى رصيف 4 أيضًا.")]},
    {"messages": [_said("user", "下一班开往伯尔尼的火车几点发车？我从苏黎世出发，需要在奥尔滕换车吗？" * 8)]},
    {
        "messages": [
            one
            for k in range(12)
            for one in (_said("user", f"Question {k + 1}, please."), _said("assistant", f"Answer {k + 1}."))
        ]
        + [_said("user", "The last question <b>of all</b> & more?")]
    },
]
REPLIES = [
    ("The next train to Bern leaves at 11:02 from platform 7.", "At 11:02, from platform 7.", "Trains are fun! " * 60),
    ("Yes, in carriage 5.", "Yes.", ""),
    ("يغادر القطار التالي في الساعة 11:02 من الرصيف 4.", "في الساعة 11:02.", "I do not speak Arabic."),
    ("下一班火车11:02发车，不需要换车。", "11:02发车。", "下一班下一班下一班" * 40),
    ("That was the last one.", "</script><b>bold</b>", "\n\n```python\nprint('x')\n```"),
]
PAIRS = [
    (
        "Two young, White males are outside near many bushes.",
        "Zwei junge weiße Männer sind im Freien in der Nähe vieler Büsche.",
    ),
    (
        "A man in a blue shirt is standing on a ladder cleaning a window.",
        "Ein Mann in einem blauen Hemd putzt ein Fenster.",
    ),
    ("Long source. " * 80, "Lange Quelle. " * 80),
]
DOCUMENTS = [
    "The study of transformers is, in the main, a study of attention. " * 30,
    "x,y,z\n0.113,0.244,0.9\n0.52,0.88,0.12\n" * 10,
    "深度学习是机器学习的分支。" * 20,
    "Ä̈ <script>alert('x')</script> \u202eabc",
]


def canonical(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _text_figures(name: str, reach: float) -> dict[str, Any]:
    silent = {"value": None, "reason": "no likelihood is given by this contender"}
    shares = {"rouge1": reach, "rouge2": reach - 0.14, "rougeL": reach - 0.05, "rougeLsum": reach - 0.04}
    found = {key: _share(max(0.0, value), 0.014) for key, value in shares.items()}
    found["exact_match"] = _share(max(0.0, reach - 0.3), 0.01)
    found |= {"bleu": _near(60 * reach, 1.1), "chrf": _near(100 * reach, 1.3), "length_ratio": _near(1.4 - reach, 0.05)}
    found["loss"] = _near(3.1 - 3 * reach, 0.04) if name in ("untuned", "tuned") else silent
    lengths = {
        "mean": 80.4 - 90 * reach,
        "median": 31,
        "empty": int(9 * (1 - reach)),
        "truncated": int(40 * (1 - reach)),
    }
    return {"metrics": found, "lengths": lengths}


def _texts(task: str) -> dict[str, Any]:
    contenders = _ladder(
        _text_figures,
        ("majority", "Most frequent reply", 0.08),
        ("copy", "The last question, repeated", 0.17),
        ("untuned", "Base model, untuned", 0.27),
        ("beam", "Fine-tuned stories260K, beam of 4", 0.49),
        ("tuned", "Fine-tuned stories260K", 0.51),
    )
    samples = []
    for k in range(12):
        gold, ours, base = REPLIES[k % 5] if task == "chat" else (PAIRS[k % 3][1], "Ein Mann. " * (k + 1), "Un homme.")
        outputs = {"majority": "Yes.", "copy": "When?", "untuned": base, "beam": ours + " So.", "tuned": ours}
        samples.append({"id": IDS[k], "gold": gold, "outputs": outputs})
    mistakes = [
        {
            "id": IDS[20 + k],
            "gold": REPLIES[k % 5][0],
            "output": REPLIES[k % 5][2],
            "score": 0.01 * k if task == "chat" else k,
        }
        for k in range(30)
    ]
    lead = {"chat": ("loss", -0.72), "seq2seq": ("chrf", 24.0)}[task]
    comparisons = [
        _compared(against, metric, effect, abs(effect) / 5, "paired bootstrap")
        for metric, effect in (lead, ("rougeL", 0.24), ("bleu", 14.4))
        for against in ("copy", "untuned")
    ]
    found = {
        "task": task,
        "labels": [],
        "contenders": contenders,
        "comparisons": comparisons,
        "samples": samples,
        "mistakes": mistakes,
        "flips": None,
        "signatures": {
            "bleu": "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0",
            "chrf": "nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:2.6.0",
        },
    }
    said = "Fine-tuned stories260K is better than Base model, untuned: a loss of 1.570 nats a token against 2.290."
    return _decided(found, comparisons[1], said)


def chat() -> dict[str, Any]:
    """The evidence of replies to conversations with tools, in four scripts."""
    return _texts("chat")


def seq2seq() -> dict[str, Any]:
    """The evidence of translations."""
    return _texts("seq2seq")


def language_modeling() -> dict[str, Any]:
    """The evidence of continued pre-training."""

    def figures(name: str, reach: float) -> dict[str, Any]:
        tokens = 1_204_331 if name == "unigram" else 402_118
        nats = 1_204_331 * reach * math.log(2) / tokens
        found = {
            "bits_per_byte": _near(reach, 0.021),
            "loss": _near(nats, 0.04),
            "perplexity": _near(math.exp(nats), 0.9),
        }
        return {"metrics": found, "tokens": tokens, "bytes": 1_204_331}

    contenders = _ladder(
        figures,
        ("unigram", "Token frequencies of train", 4.61),
        ("untuned", "Base model, untuned", 1.92),
        ("tuned", "Fine-tuned stories260K", 1.48),
    )
    comparisons = [
        _compared(against, metric, effect, abs(effect) / 8, "paired bootstrap")
        for metric, effect in (("bits_per_byte", -0.44), ("perplexity", -14.2))
        for against in ("unigram", "untuned")
    ]
    found = {
        "task": "language_modeling",
        "labels": [],
        "contenders": contenders,
        "comparisons": comparisons,
        "mistakes": [{"id": IDS[k], "bits_per_byte": 5.1 - 0.1 * k} for k in range(30)],
        "flips": None,
    }
    said = "Fine-tuned stories260K is better than Base model, untuned: 1.480 bits per byte against 1.920."
    return _decided(found, comparisons[1], said)


def preference(task: str = "preference") -> dict[str, Any]:
    """The evidence of chosen and rejected replies."""
    draw = random.Random(4)

    def figures(name: str, reach: float) -> dict[str, Any]:
        scale = 4.0 if name == "untuned" else 1.0
        found = {"accuracy": _share(reach, 0.03), "margin": _near(scale * (reach - 0.45), 0.06 * scale)}
        edges = [scale * (k / 4 - 2) for k in range(21)]
        counts = [int(90 * math.exp(-((k - 8 - 8 * (reach - 0.5)) ** 2) / 18)) + draw.randint(0, 4) for k in range(20)]
        rewards = {
            "chosen": {"mean": 0.4 * scale, "sd": 1.02 * scale},
            "rejected": {"mean": -0.2 * scale, "sd": 1.1 * scale},
        }
        return {"metrics": found, "rewards": rewards, "histogram": {"edges": edges, "counts": counts}}

    contenders = _ladder(
        figures,
        ("length", "The longer reply", 0.54),
        ("tfidf", "TF-IDF + logistic regression on differences", 0.6),
        ("untuned", "Base model, untuned", 0.61),
        ("tuned", "Fine-tuned stories260K", 0.72),
    )
    comparisons = [
        _compared(against, metric, effect, 0.04, test)
        for metric, effect, test in (("accuracy", 0.11, "McNemar mid-p"),)
        for against in ("length", "untuned")
    ]
    flips = [{"id": IDS[30 + k], "gold": "chosen", "from": "rejected", "to": "chosen"} for k in range(7)]
    lost = [{"id": IDS[45 + k], "gold": "chosen", "from": "chosen", "to": "rejected"} for k in range(4)]
    found = {
        "task": task,
        "labels": [],
        "contenders": contenders,
        "comparisons": comparisons,
        "mistakes": [{"id": IDS[k], "margin": -2.1 + 0.09 * k} for k in range(30)],
        "flips": {"against": "untuned", "gained": flips, "lost": lost, "gained_total": 210, "lost_total": 58},
    }
    said = "Fine-tuned stories260K is better than Base model, untuned: 72.0% of the pairs the right way round against 61.0%."
    return _decided(found, comparisons[1], said)


def reward() -> dict[str, Any]:
    """The evidence of a reward model."""
    return preference("reward")


def multitask() -> dict[str, Any]:
    """The evidence of four tasks with one backbone."""
    worse = regression()
    worse["verdict"].update(outcome="worse", effect=-0.1, low=-0.14, high=-0.06, sentence="Worse than its baseline.")
    tasks = {"emotions": multilabel(), "similarity": worse, "help desk": chat(), "names": entities()}

    def line(task: str, metric: str, alone: float, together: float, verdict: str) -> dict[str, Any]:
        change = together - alone
        half = abs(change) / 2 if verdict != "can't tell" else 2 * abs(change) + 0.01
        sides = {"alone": _near(alone, 0.02), "together": _near(together, 0.02), "difference": _near(change, half)}
        return {"task": task, "metric": metric, **sides, "p": 0.004, "verdict": verdict}

    transfer = [
        line("emotions", "f1_micro", 0.541, 0.562, "better"),
        line("emotions", "f1_macro", 0.43, 0.42, "can't tell"),
        line("similarity", "pearson", 0.861, 0.842, "worse"),
        line("help desk", "loss", 1.71, 1.57, "better"),
    ]
    weights = [
        {"task": "emotions", "weight": 1.21},
        {"task": "similarity", "weight": 0.64},
        {"task": "help desk", "weight": 0.9},
    ]
    more = {"version": 1, "split": "test", "confidence": 0.95, "not_tested": ["Other orders of the tasks."]}
    return {"task": "multitask", "tasks": tasks, "transfer": transfer, "weights": weights, **more}


MAKE: dict[str, Callable[[], dict[str, Any]]] = {
    "chat": chat,
    "seq2seq": seq2seq,
    "language_modeling": language_modeling,
    "preference": preference,
    "reward": reward,
    "multitask": multitask,
}


def _card(task: str) -> dict[str, Any]:
    card = {**fake_runs.card(), "classes": []}
    sides = {
        "prompt": {"mean": 412.2, "median": 300, "max": 9120},
        "reply": {"mean": 201.7, "median": 160, "max": 4001},
    }
    if task in ("chat", "preference", "reward"):
        card |= {
            "conversation": "sharegpt, openai",
            "turns": {"mean": 2.4, "max": 31},
            "systems": 812,
            "tools": 44,
            "characters": sides,
        }
    elif task == "seq2seq":
        card |= {"characters": {"source": sides["prompt"], "target": sides["reply"]}, "ratio": 0.49}
    elif task == "language_modeling":
        sizes = (("train", 6400), ("validation", 700), ("test", 800))
        card["sizes"] = {split: {"documents": n, "characters": 911 * n, "bytes": 1021 * n} for split, n in sizes}
    return card


def data_rows(task: str) -> list[dict[str, Any]]:
    """The rows of the judged split, each with its answer in the task's form."""
    source = {"file": "rows.jsonl", "line": 7, "offset": 0}
    found = []
    for k, one in enumerate(IDS):
        text, label = DOCUMENTS[k % 4], None
        if task in ("chat", "preference", "reward"):
            text = canonical(CHATS[k % 5])
            gold, good, bad = REPLIES[k % 5]
            label = canonical(_said("assistant", gold))
            if task != "chat":
                label = canonical({"chosen": [_said("assistant", good)], "rejected": [_said("assistant", bad)]})
            if task == "preference" and k % 7 == 6:
                label = canonical({"reply": [_said("assistant", bad)], "good": k % 2 == 0})
        elif task == "seq2seq":
            text, label = PAIRS[k % 3]
        found.append({"id": one, "text": text, "label": label, "source": {**source, "line": k + 2}})
    return found


def _history(task: str) -> list[dict[str, Any]]:
    draw = random.Random(9)
    lines = []
    for step in range(1, 301):
        fall = math.exp(-step / 90)
        row = {
            "step": step,
            "epoch": step / 100,
            "loss": 1.3 + fall,
            "rate": 1e-4,
            "gradient_norm": 1.0 + draw.random(),
        }
        row |= {"parts": {task: row["loss"]}, "totals": {"token": 2048}}
        if task == "preference":
            row["parts"] = {"dpo": 0.6 * row["loss"], "chosen": 0.4 * row["loss"]}
            row["watched"] = {"reward_accuracy": min(1.0, 0.5 + 0.2 * (1 - fall) + 0.05 * draw.random())}
            row["watched"] |= {"margin": 1.2 * (1 - fall) + 0.1 * draw.gauss(0, 1), "kl": 3 * (1 - fall)}
        if task == "multitask":
            row["parts"] = {"emotions": 0.2 + fall / 2, "similarity": 0.4 + fall / 3, "help desk": 0.7 + fall / 4}
            row["weights"] = {
                "emotions": 1 + 0.2 * (1 - fall),
                "similarity": 1 - 0.4 * (1 - fall),
                "help desk": 1 - 0.1 * (1 - fall),
            }
        lines.append(row)
    return lines


def write_texts(folder: Path, evidence: dict[str, Any], **files: Any) -> Path:
    """A run folder of any of these tasks around this evidence."""
    task = evidence["task"]
    run = {**fake_runs.run_json(), "task": task, "name": task.replace("_", "-")}
    fake_runs.write_run(folder, evidence=evidence, run=run, card=files.pop("card", _card(task)), **files)
    fake_runs.write_lines(folder / "history.jsonl", _history(task))
    names = {"chat": "rougeL", "seq2seq": "chrf", "language_modeling": "bits_per_byte"}
    seen = fake_runs.evaluations()
    for row in seen:
        accuracy, _ = row["metrics"].pop("accuracy"), row["metrics"].pop("f1_macro")
        row["metrics"][names.get(task, "accuracy")] = accuracy * (100 if task == "seq2seq" else 1)
    fake_runs.write_lines(folder / "evaluations.jsonl", seen)
    if task == "multitask":
        write_entities(folder / "data/names")
        for name in ("names/data/test.jsonl", "names/data/card.json"):
            (folder / "data" / name).rename(folder / "data/names" / Path(name).name)
        for path in ("card.json", "ledger.json", "test.jsonl"):
            (folder / "data" / path).unlink()
        for name, part in (("emotions", "multilabel"), ("similarity", "regression"), ("help desk", "chat")):
            place = folder / "data" / name
            place.mkdir(exist_ok=True)
            (place / "card.json").write_text(canonical(_card(part)), encoding="utf-8")
            fake_runs.write_lines(place / "test.jsonl", data_rows(part))
    else:
        fake_runs.write_lines(folder / "data/test.jsonl", data_rows(task))
    (folder / "recipe.yaml").write_text(f"task: {task}\nmodel: stories260K\n", encoding="utf-8")
    return folder
