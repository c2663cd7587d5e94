"""Replies of the contenders side by side: samples of the items, the lowest scores, lengths, signatures of the scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunewright.reporting.answers import rival
from tunewright.reporting.conversations import PROMPT, REPLY, Prompt, Turn, prompt, replies
from tunewright.reporting.figures import metric_title, write_metric
from tunewright.reporting.formatting import compact, count, number, shortened
from tunewright.reporting.loading import Item, RunFiles
from tunewright.reporting.results import contender_title, contenders, tuned
from tunewright.reporting.tasks import CONVERSATIONS, REPLIES, task_of
from tunewright.reporting.values import mapping, rows, string

SAMPLES, OPEN, LOWEST, STANDING, OTHERS = 12, 4, 30, 6, 6
"""Samples and lowest scores at most and how many of each stand there without unfolding; other contenders a sample."""

SCORES = {"chat": "rougeL", "seq2seq": "chrf"}
"""By what a task's lowest replies are ordered."""


@dataclass(frozen=True)
class Reply:
    """Who said it (`kind`: gold, tuned, rival, chosen or rejected), and what."""

    title: str
    kind: str
    turns: Sequence[Turn]


@dataclass(frozen=True)
class Exchange:
    """One item: its prompt (None where the run folder has not got it), the replies, the others that unfold, facts."""

    id: str
    prompt: Prompt | None
    answers: Sequence[Reply]
    others: Sequence[Reply] = ()
    facts: Sequence[tuple[str, str]] = ()
    place: str = ""


@dataclass(frozen=True)
class Replies:
    """What a task of generated texts shows beside its figures."""

    samples: Sequence[Exchange]
    open: int
    lengths: Sequence[tuple[str, bool, Sequence[str]]]
    signatures: Sequence[tuple[str, str]]


def generated(files: RunFiles, parts: int = 1) -> Replies | None:
    """Samples, lengths and signatures; None where the task is another. `parts`: tasks that share the page."""
    if task_of(files.evidence).name not in REPLIES:
        return None
    most = max(2, SAMPLES // parts)
    samples = [_sample(files, row) for row in rows(files.evidence.get("samples"))[:most]]
    return Replies(
        samples,
        OPEN,
        _lengths(files.evidence),
        _signatures(files.evidence),
    )


def lowest(files: RunFiles, parts: int = 1) -> list[Exchange]:
    """The tuned model's lowest replies, as the evidence orders them."""
    evidence = files.evidence
    name = SCORES.get(task_of(evidence).name)
    if name is None:
        return []
    ours = tuned(evidence)
    found = []
    for row in rows(evidence.get("mistakes"))[: max(4, LOWEST // parts)]:
        answers = [
            Reply("Gold", "gold", replies(row.get("gold"), REPLY // 2)),
            Reply(contender_title(evidence, ours.get("name")), "tuned", replies(row.get("output"), REPLY // 2)),
        ]
        facts = (
            [(metric_title(name), write_metric(name, row.get("score")))] if number(row.get("score")) is not None else []
        )
        found.append(exchange(files, row, answers, facts=facts, kept=PROMPT // 2))
    return found


def exchange(
    files: RunFiles,
    row: Mapping[str, Any],
    answers: Sequence[Reply],
    others: Sequence[Reply] = (),
    facts: Sequence[tuple[str, str]] = (),
    kept: int = PROMPT,
) -> Exchange:
    """One item of the evidence with its prompt from the run folder."""
    identity = string(row.get("id"))
    item: Item | None = files.items.get(identity)
    chat = task_of(files.evidence).name in CONVERSATIONS
    shown = prompt(item.text, chat, kept) if item else None
    return Exchange(identity[:40], shown, answers, others, facts, shortened(item.place, 120) if item else "")


def _sample(files: RunFiles, row: Mapping[str, Any]) -> Exchange:
    evidence, outputs = files.evidence, mapping(row.get("outputs"))
    ours, beside = string(tuned(evidence).get("name")), untuned(evidence)
    order = [string(one.get("name")) for one in contenders(evidence)]
    order += [name for name in map(string, outputs) if name not in order]
    found = {
        name: Reply(contender_title(evidence, name), "tuned" if name == ours else "rival", replies(outputs[name]))
        for name in order
        if name in outputs
    }
    leading = [found[name] for name in dict.fromkeys((ours, beside)) if name in found]
    others = [reply for reply in found.values() if reply not in leading][:OTHERS]
    others = [
        Reply(one.title, one.kind, replies(outputs[name], REPLY // 2)) for name, one in found.items() if one in others
    ]
    return exchange(files, row, [Reply("Gold", "gold", replies(row.get("gold"))), *leading], others)


def untuned(evidence: Mapping[str, Any]) -> str:
    """The name of the contender that stands beside the tuned one: the untuned model, else what the verdict names."""
    names = [string(one.get("name")) for one in contenders(evidence)]
    return "untuned" if "untuned" in names else string(rival(evidence).get("name"))


def _lengths(evidence: Mapping[str, Any]) -> list[tuple[str, bool, list[str]]]:
    """A line a contender: mean, median, how many empty, how many cut at the limit."""
    found = []
    for one in contenders(evidence):
        facts = mapping(one.get("lengths"))
        if facts:
            cells = [compact(facts.get("mean")), compact(facts.get("median"))]
            cells += [count(facts.get("empty")), count(facts.get("truncated"))]
            found.append((contender_title(evidence, one.get("name")), one is tuned(evidence), cells))
    return found


def _signatures(evidence: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How a corpus score was computed, in the words of the tool that others compare with."""
    found = mapping(evidence.get("signatures"))
    return [(metric_title(string(name)), shortened(string(text), 300)) for name, text in list(found.items())[:8]]
