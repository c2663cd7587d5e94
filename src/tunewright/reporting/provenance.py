"""Where everything came from: the data and its ledger, the lineage, the commands that make it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from tunewright.reporting import charts
from tunewright.reporting.amounts import Amount, amounts, per_item
from tunewright.reporting.conversations import summary
from tunewright.reporting.entities import scheme
from tunewright.reporting.excerpts import Quote, quote
from tunewright.reporting.formatting import compact, count, day, number, percent, shortened, size
from tunewright.reporting.loading import RunFiles
from tunewright.reporting.tasks import CONVERSATIONS, MULTILABEL, TOKEN_CLASSIFICATION, task_of
from tunewright.reporting.values import mapping, rows, string, strings

EXAMPLES, DEFECTS = 5, 40
"""How many examples a defect and how many defects are shown at most."""

LABELS = 200
"""How many labels of a multi-label task are listed at most."""


@dataclass(frozen=True)
class LedgerStage:
    """One stage of the ledger with its sum written out; `fault` says what does not add up."""

    name: str
    sums: Sequence[str]
    equation: tuple[str, str]
    fault: str
    changed: str
    reasons: Sequence[tuple[str, str]]
    bar: Markup | None


@dataclass(frozen=True)
class Defect:
    """One kind of defect found in the user's file."""

    title: str
    code: str
    count: str
    done: str
    examples: Sequence[tuple[str, Quote, str]]


@dataclass(frozen=True)
class DataCard:
    """The data that were used, and how they came to be these."""

    stages: Sequence[LedgerStage]
    balanced: bool
    classes: Sequence[tuple[str, str, str, str, str, Markup | None]]
    splits: Sequence[tuple[str, str]]
    adds_up: bool
    used: str
    method: str
    lengths: str
    defects: Sequence[Defect]
    heading: tuple[str, str]
    unlisted: str
    per_item: Sequence[tuple[str, str]]
    amounts: Sequence[Amount]


def data_card(files: RunFiles) -> DataCard:
    """The data card, from data/ledger.json and data/card.json; either may be missing."""
    stages = _stages(rows(files.ledger.get("stages")))
    card = files.card
    length = mapping(card.get("length"))
    unit = string(length.get("unit"), "characters")
    lengths = (
        f"median {count(length.get('median'))}, 95% of the texts up to {count(length.get('p95'))}, "
        f"longest {count(length.get('max'))} {unit}"
        if length and not mapping(card.get("characters"))
        else ""
    )
    splits = mapping(card.get("splits"))
    task, labels = task_of(files.evidence), rows(card.get("classes"))
    labels = labels or [{**one, "label": one.get("type")} for one in rows(card.get("types"))]
    most = LABELS if task in (MULTILABEL, TOKEN_CLASSIFICATION) else len(labels)
    return DataCard(
        stages=stages,
        balanced=bool(stages) and not any(stage.fault for stage in stages),
        classes=_classes(labels[:most]),
        splits=[(string(name), count(part.get("rows"))) for name, part in splits.items() if isinstance(part, dict)],
        adds_up=_adds_up(card),
        used=count(card.get("rows")),
        method=string(splits.get("method")),
        lengths=lengths,
        defects=[_defect(one, task.name in CONVERSATIONS) for one in rows(card.get("defects"))[:DEFECTS]],
        heading=task.labels,
        unlisted=count(len(labels) - most) if len(labels) > most else "",
        per_item=per_item(card.get("labels_per_item")) or scheme(card),
        amounts=amounts(card.get("targets")),
    )


def _adds_up(card: Mapping[str, Any]) -> bool:
    parts = [number(part.get("rows")) or 0 for part in mapping(card.get("splits")).values() if isinstance(part, dict)]
    return number(card.get("rows")) == sum(parts)


def _stages(found: Sequence[Mapping[str, Any]]) -> list[LedgerStage]:
    result: list[LedgerStage] = []
    whole = max((int(number(one.get("in")) or 0) + int(number(one.get("added")) or 0) for one in found), default=0)
    before: float | None = None
    for one in found:
        result.append(_stage(one, before, whole))
        before = number(one.get("out"))
    return result


def _stage(one: Mapping[str, Any], before: float | None, whole: int) -> LedgerStage:
    keys = ("in", "added", "out", "dropped", "quarantined")
    entered, added, out, dropped, kept_apart = (number(one.get(key)) or 0.0 for key in keys)
    left, right = entered + added, out + dropped + kept_apart
    fault = "" if left == right else f"off by {count(abs(left - right))}"
    if before is not None and before != entered:
        fault = (fault + "; " if fault else "") + f"the stage before left {count(before)}"
    name = string(one.get("name"), "(unnamed)")
    told = f"{name}: {count(out)} rows go on, {count(dropped)} dropped, {count(kept_apart)} quarantined"
    parts = [("out", int(out)), ("dropped", int(dropped)), ("quarantined", int(kept_apart))]
    reasons = sorted(mapping(one.get("reasons")).items(), key=lambda pair: (-(number(pair[1]) or 0), pair[0]))
    return LedgerStage(
        name=name,
        sums=[count(number(one.get(key)) or 0) for key in keys],
        equation=(f"{count(entered)} + {count(added)}", f"{count(out)} + {count(dropped)} + {count(kept_apart)}"),
        fault=fault,
        changed=count(one.get("changed")),
        reasons=[(shortened(string(reason), 80).replace("_", " "), count(found)) for reason, found in reasons[:20]],
        bar=charts.flow_bar(parts, whole, told) if whole else None,
    )


def _classes(found: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str, str, str, Markup | None]]:
    result = []
    for one in found:
        label, part = shortened(string(one.get("label"), "(none)"), 60), number(one.get("share"))
        bar = None
        if part is not None and 0 <= part <= 1:
            bar = charts.flow_bar([("out", round(1000 * part))], 1000, f"{label}: {percent(part)} of the rows")
        counts = (count(one.get(split)) for split in ("train", "validation", "test"))
        train, validation, test = counts
        result.append((label, train, validation, test, percent(part), bar))
    return result


def _defect(one: Mapping[str, Any], chat: bool) -> Defect:
    examples = []
    for example in rows(one.get("examples"))[:EXAMPLES]:
        line = f"line {string(example['line'])}" if "line" in example else ""
        place = ", ".join(part for part in (shortened(string(example.get("file")), 60), line) if part)
        detail = shortened(string(example.get("detail")), 160)
        text = string(example.get("text"))
        examples.append((place, quote(summary(text) if chat else text, 160, 600), detail))
    code = string(one.get("code"))
    return Defect(string(one.get("title"), code), code, count(one.get("count")), string(one.get("done")), examples)


@dataclass(frozen=True)
class Lineage:
    """Groups of facts: (heading, [(name, value, whether the value is a hash or code)])."""

    groups: Sequence[tuple[str, Sequence[tuple[str, str, bool]]]]
    files: Sequence[tuple[str, str, str, str]]
    changed_method: Sequence[str]
    commands: Sequence[tuple[str, str]]
    recipe: str


def lineage(files: RunFiles) -> Lineage:
    """Hashes, versions, machine, seeds, and the commands that make the run again."""
    run = files.run
    model, machine = mapping(run.get("model")), mapping(run.get("machine"))
    groups = [
        ("Run", _run_facts(files)),
        ("Model", _model_facts(model, run)),
        ("Machine", _pairs(machine, {"memory_gib": "memory, GiB", "gpu": "GPU", "cpu": "CPU"}) if machine else []),
        ("Versions", _pairs(mapping(run.get("versions")), {}, code=True)),
    ]
    sources = [
        (string(one.get("path")), _known(one, "sha256"), count(one.get("rows")), size(one.get("bytes")))
        for one in rows(mapping(run.get("data")).get("files"))
    ]
    return Lineage(
        [(heading, facts) for heading, facts in groups if facts],
        sources,
        strings(run.get("changed_method")),
        _commands(files),
        files.recipe[:20_000] + ("\n# … cut here; the whole file is recipe.yaml" if len(files.recipe) > 20_000 else ""),
    )


def _known(values: Mapping[str, Any], key: str) -> str:
    return string(values.get(key), "not recorded")


def _run_facts(files: RunFiles) -> list[tuple[str, str, bool]]:
    run, evidence = files.run, files.evidence
    facts = [("name", string(run.get("name"), files.name), False)]
    if "status" in run:
        facts.append(("status", string(run["status"]), False))
    if "created" in run:
        facts.append(("created", day(run["created"]), False))
    if "recipe_sha256" in run:
        facts.append(("recipe, SHA-256", string(run["recipe_sha256"]), True))
    facts.append(("seed of the run", _known(run, "seed"), False))
    facts.append(("seed of the resampling", _known(evidence, "seed"), False))
    facts.append(("resamples", count(evidence.get("resamples")), False))
    return facts


def _model_facts(model: Mapping[str, Any], run: Mapping[str, Any]) -> list[tuple[str, str, bool]]:
    if not model:
        return []
    facts = [(key, _known(model, key), False) for key in ("name", "source", "architecture")]
    total, trained = number(model.get("parameters")), number(model.get("trainable"))
    part = f" ({percent(trained / total)})" if total and trained is not None else ""
    facts.append(("parameters", count(total), False))
    facts.append(("of these trained", count(trained) + part, False))
    facts.append(("adaptation", _known(run, "adaptation"), False))
    facts.append(("layout, precision", f"{_known(model, 'layout')}, {_known(model, 'precision')}", False))
    facts.append(("weights, SHA-256", _known(model, "sha256"), True))
    facts.append(("tokenizer, SHA-256", _known(model, "tokenizer_sha256"), True))
    return facts


def _pairs(values: Mapping[str, Any], titles: Mapping[str, str], code: bool = False) -> list[tuple[str, str, bool]]:
    result = []
    for key, value in values.items():
        written = compact(value) if isinstance(value, float) else string(value, "none")
        result.append((titles.get(key, key if code else key.replace("_", " ")), written, code))
    return result


def _commands(files: RunFiles) -> list[tuple[str, str]]:
    version = string(files.run.get("tunewright"))
    steps = []
    if version:
        steps.append(("Install the same version.", f"pip install tunewright=={version}"))
    if rows(mapping(files.run.get("data")).get("files")):
        steps.append(("Check that the data are the same: their hashes are above.", "sha256sum FILE"))
    name = string(files.run.get("name"), files.name)
    place = string(files.run.get("folder"), f"runs/{name}")
    again = f"tunewright run {place}/recipe.yaml --folder {place}-again"
    steps.append(("Run the recipe again: every default is written in it.", again))
    again = "Or compute the figures again from the saved predictions."
    steps.append((again, f"tunewright evaluate {place}"))
    return steps
