"""The data card: which answers where and how often, how long the texts are, and which defects were met and what was done."""

from __future__ import annotations

from collections import Counter
from types import ModuleType
from typing import Any

import numpy as np

from tunewright.core.seeds import key
from tunewright.data import steps
from tunewright.data.gates import gates
from tunewright.data.journal import excerpt
from tunewright.data.labels.intervals import wilson
from tunewright.data.language import guesser, languages
from tunewright.data.leakage import Passage, leakage
from tunewright.data.prepare import Prepared

_COMPARED, _PAIRS = 20_000, 5
"""Up to how many rows the splits are compared with one another here (`tunewright data leaks` knows no such bound), and how
many pairs are shown."""
_DRAWN = 2000
"""By how many rows languages are told."""

_DEFECTS = {
    "mojibake": ("Text decoded in the wrong encoding", "repaired"),
    "outer_space": ("White space around the text", "stripped"),
    "replacement_character": ("Characters lost before the file was written (U+FFFD)", "left as they are"),
    "empty_text": ("Empty texts", "left out"),
    "blank_line": ("Empty lines", "left out"),
    "missing_label": ("Rows without a label", "kept aside as unlabelled"),
    "label_map": ("Labels changed by the map of the recipe", "mapped"),
    "label_space": ("White space around the label", "stripped"),
    "unknown_label": ("Labels that train does not have", "set aside"),
    "conflict": ("The same text under different labels", "the whole cluster was set aside for adjudication"),
    "conflict_minority": ("The same text under different labels", "the rows of the rarer label were left out"),
    "conflict_kept": ("The same text under different labels", "kept, as the recipe says"),
    "number_conflict": ("The same text with different numbers", "the whole cluster was set aside for adjudication"),
    "number_conflict_minority": ("The same text with different numbers", "one row was kept, with the median"),
    "number_conflict_agreed": ("The same text with different numbers", "the row that was kept was given the median"),
    "number_conflict_kept": ("The same text with different numbers", "kept, as the recipe says"),
    "duplicate": ("Exact duplicates", "the later copies were left out"),
    "leaked": ("Copies of rows of another split", "the copy in the training data was left out"),
    "leaked_near": ("Near copies of rows of another split", "the copy in the training data was left out"),
    "bridges_splits": ("New rows near rows of two splits of the manifest", "left out"),
    "over_limit": ("Rows over the limit of the recipe", "left out"),
    "not_utf8": ("Rows that are not UTF-8", "set aside"),
    "nul_byte": ("Rows with a NUL byte", "set aside"),
    "bad_json": ("Lines that are not JSON objects", "set aside"),
    "duplicate_key": ("JSON objects with a key twice", "set aside"),
    "not_a_number": ("NaN or infinity", "set aside"),
    "ragged_row": ("Rows with too few or too many fields", "set aside"),
    "unclosed_quote": ("Quotes never closed", "the line was set aside; reading went on at the next"),
    "stray_quote": ("Quotes not doubled inside a quoted field", "set aside"),
    "too_long_line": ("Rows over the length limit", "skipped without being loaded"),
    "missing_field": ("Rows without the text field", "set aside"),
    "lone_surrogate": ("Half of a surrogate pair in a text", "set aside"),
    "bad_number": ("Labels that are no numbers", "set aside"),
    "bad_list": ("Labels that are no lists of names", "set aside"),
    "not_0_or_1": ("Label columns with something else than 0 and 1", "set aside"),
    "partial_label": ("Rows that lack some of their label columns", "set aside"),
    "broken_tags": ("Sequences of tags that the scheme does not allow", "read as a beginning or an end, and kept"),
    "span_space": ("White space at the ends of spans", "cut off"),
    "span_twice": ("Spans that stand there twice", "kept once"),
    "bad_tag": ("Tags that are none", "set aside"),
    "missing_tag": ("Tokens without a tag", "set aside"),
    "tags_of_tokens": ("Rows with more or fewer tags than tokens", "set aside"),
    "bad_spans": ("Labels that are no spans", "set aside"),
    "span_out_of_range": ("Spans beyond the text, or empty", "set aside"),
    "overlapping_spans": ("Spans that overlap or cross", "set aside"),
    "empty_span": ("Spans of nothing but white space", "set aside"),
    "span_text": ("Spans whose own text is not what stands there", "set aside"),
    "span_in_repair": ("Spans that end where the encoding was repaired", "set aside"),
    "formula_error": ("Cells with a formula's error", "set aside"),
    "formula_without_value": ("Formulas whose value was never saved", "set aside"),
    "no_sentence": ("Marks of documents, and comments", "left out"),
    "not_text": ("A list or an object where a text belongs", "set aside"),
    "no_reply": ("Conversations in which the assistant says nothing", "set aside"),
    "empty_reply": ("Empty replies", "set aside"),
    "empty_message": ("Conversations with nothing to reply to", "set aside"),
    "roles_out_of_order": ("Turns out of order", "set aside"),
    "unknown_role": ("Turns of somebody unknown", "set aside"),
    "bad_tool_call": ("Tool calls that are no JSON", "set aside"),
    "bad_tools": ("Tools that are no JSON list of objects", "set aside"),
    "bad_weight": ("Weights that are neither 0 nor 1", "set aside"),
    "nothing_learnt": ("Conversations of which every reply weighs 0", "set aside"),
    "after_last_reply": ("Turns after the last reply", "left out; the rest of the conversation was kept"),
    "equal_replies": ("Chosen and rejected replies that are equal", "set aside"),
    "prompts_differ": ("Chosen and rejected replies to different prompts", "set aside"),
    "bad_thumb": ("Thumbs that are neither true nor false", "set aside"),
    "contrary_preference": ("The same two replies, preferred both ways", "set aside for adjudication"),
    "contrary_preference_minority": ("The same two replies, preferred both ways", "the rarer opinion was left out"),
    "contrary_preference_kept": ("The same two replies, preferred both ways", "kept, as the recipe says"),
}


def titles() -> dict[str, tuple[str, str]]:
    """What each defect is called, and what was done: those that steps describe themselves among them."""
    own = [getattr(module, "DESCRIBED", {}) for module in vars(steps).values() if isinstance(module, ModuleType)]
    return {**_DEFECTS, **{code: words for described in own for code, words in described.items()}}


def card(prepared: Prepared) -> dict[str, Any]:
    """The card as plain values, with the gates that it passes or not."""
    made = _facts(prepared)
    return {**made, "gates": [gate.as_json() for gate in gates(made)]}


def _facts(prepared: Prepared) -> dict[str, Any]:
    lengths = np.array([len(record.text) for part in prepared.splits.values() for record in part] or [0])
    stages = prepared.ledger.as_json()["stages"]
    return {
        "rows": sum(map(len, prepared.splits.values())),
        "entered": stages[0]["in"] if stages else 0,
        "files": [facts.as_json() for facts in prepared.files],
        "stages": stages,
        "length": {
            "unit": "characters",
            "median": float(np.median(lengths)),
            "p95": float(np.percentile(lengths, 95)),
            "max": int(lengths.max()),
        },
        "languages": _languages(prepared),
        **prepared.target.card(prepared.splits, prepared.labels),
        "splits": {
            **{name: {"rows": len(part)} for name, part in prepared.splits.items()},
            "method": prepared.method,
        },
        "parted_clusters": _parted(prepared),
        **_leaks(prepared),
        "found": dict(prepared.found),
        "defects": [_defect(prepared, code) for code in sorted(prepared.defects, key=_rank)],
        "notes": [*prepared.notes, *(str(warning) for warning in prepared.warnings)],
    }


def _languages(prepared: Prepared) -> list[dict[str, Any]]:
    """The languages of rows drawn by their ids, the most frequent first, with the interval of each share."""
    records = sorted((r for part in prepared.splits.values() for r in part), key=lambda r: key("languages", r.id))[
        :_DRAWN
    ]
    found = languages([prepared.target.shown(record.text) for record in records], guesser())
    counts = Counter((one.code, one.script) for one in found)
    rows = []
    for (code, script), n in counts.most_common():
        share = wilson(n, len(records))
        rows.append(
            {
                "language": code,
                "script": script,
                "rows": n,
                "share": n / len(records),
                "low": share.low,
                "high": share.high,
            }
        )
    return rows


def _leaks(prepared: Prepared) -> dict[str, Any]:
    """Every split against validation and test, with a few pairs as evidence; of rows so many that it is soon done."""
    if sum(map(len, prepared.splits.values())) > _COMPARED:
        return {}
    shown = prepared.target.shown
    sides = {name: [Passage.of(record, shown) for record in part] for name, part in prepared.splits.items()}
    found = leakage(sides)
    pairs = [
        {"kind": leak.kind, "split": leak.split, "against": leak.against, "line": leak.row.line, "like_line": leak.other.line,
         "text": excerpt(leak.row.text), "like": excerpt(leak.other.text)}
        for leak in found.evidence[:_PAIRS]
    ]  # fmt: skip
    cells = [{"split": c.split, "against": c.against, "rows": c.rows, **c.counts} for c in found.cells if c.rows]
    return {"leaks": {"cells": cells, "pairs": pairs}} if cells else {}


def _parted(prepared: Prepared) -> int:
    """How many clusters of near copies lie in more than one split: none, unless a stage is broken."""
    seen: dict[str, set[str]] = {}
    for name, part in prepared.splits.items():
        for record in part:
            if record.cluster is not None:
                seen.setdefault(record.cluster, set()).add(name)
    return sum(len(splits) > 1 for splits in seen.values())


def _rank(code: str) -> tuple[int, str]:
    order = list(titles())
    return (order.index(code) if code in order else len(order), code)


def defect_title(code: str) -> str:
    """What a kind of defect is called where people read it."""
    return _named(code)[0]


def _named(code: str) -> tuple[str, str]:
    return titles().get(code, (code.replace("_", " ").capitalize(), "set aside"))


def _defect(prepared: Prepared, code: str) -> dict[str, Any]:
    title, done = _named(code)
    defect = prepared.defects[code]
    examples = [example.as_json() for example in defect.examples]
    return {"code": code, "title": title, "count": defect.count, "done": done, "examples": examples}
