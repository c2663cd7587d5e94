"""The data card as Markdown, for people who read it beside the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tunewright.core.outline import outline
from tunewright.data.gates import Gate

_MARKS = {"green": "🟢", "amber": "🟡", "red": "🔴"}


def markdown(card: Mapping[str, Any], gates: Sequence[Gate] = (), title: str = "Data card") -> str:
    """Sources, sums, languages, lengths, answers, defects, what steps found, and gates."""
    parts = [f"# {title}", *_gates(gates), *_sources(card), *_sums(card), *_texts(card), *_answers(card), *_leaks(card),
             *_defects(card),
             *_found(card.get("found", {}))]  # fmt: skip
    notes = [f"- {_cell(note)}" for note in card.get("notes", ())]
    return "\n\n".join([*parts, *(["## Notes", "\n".join(notes)] if notes else [])]) + "\n"


def _cell(value: Any) -> str:
    text = str(value)
    if isinstance(value, int) and not isinstance(value, bool):
        text = f"{value:,}"
    elif isinstance(value, float):
        text = f"{value:.4g}"
    elif isinstance(value, (list, tuple)):
        text = (" to " if len(value) == 2 and isinstance(value[0], float) else ", ").join(_cell(one) for one in value)
    return " ".join(text.split()).replace("|", "\\|")


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table; numbers stand to the right."""
    right = [
        "---:" if rows and all(isinstance(row[i], (int, float)) for row in rows) else "---" for i in range(len(heads))
    ]
    lines = [heads, right, *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _gates(gates: Sequence[Gate]) -> Iterator[str]:
    if gates:
        yield "## Gates"
        yield table(["", "gate", "found", "limit"], [[_MARKS[g.state], g.title, g.said, g.allowed] for g in gates])


def _sources(card: Mapping[str, Any]) -> Iterator[str]:
    files = card.get("files", ())
    if files:
        yield "## Sources"
        rows = [[f["path"], f["format"], f["encoding"], f["rows"], f["bytes"], f["sha256"][:12]] for f in files]
        yield table(["file", "format", "encoding", "rows", "bytes", "SHA-256"], rows)


def _sums(card: Mapping[str, Any]) -> Iterator[str]:
    stages = card.get("stages", ())
    if stages:
        yield "## What became of every row"
        rows = [
            [s["name"], s["in"], s["added"], s["out"], s["dropped"], s["quarantined"], s["changed"],
             ", ".join(f"{reason} {count:,}" for reason, count in s["reasons"].items())]
            for s in stages
        ]  # fmt: skip
        yield table(["stage", "in", "added", "out", "dropped", "set aside", "changed", "reasons"], rows)
    splits = card.get("splits", {})
    if splits:
        sizes = [[name, part["rows"]] for name, part in splits.items() if isinstance(part, Mapping)]
        yield "## Splits"
        yield table(["split", "rows"], sizes)
        yield f"Divided by {splits.get('method', '')}."


def _texts(card: Mapping[str, Any]) -> Iterator[str]:
    yield "## Texts"
    length = card.get("length", {})
    median, high, most = (length.get(name, 0) for name in ("median", "p95", "max"))
    yield f"Length in characters: median {median:g}, 95% below {high:g}, longest {most:,}."
    languages = card.get("languages")
    if languages:
        drawn = sum(row["rows"] for row in languages)
        yield f"Languages of {drawn:,} rows drawn:"
        lines = [
            [r["language"], r["script"], f"{r['share']:.1%}", f"{r['low']:.1%} to {r['high']:.1%}"] for r in languages
        ]
        yield table(["language", "script", "share", "95% interval"], lines)


def _answers(card: Mapping[str, Any]) -> Iterator[str]:
    classes = card.get("classes")
    if classes:
        yield "## Answers"
        rows = [[row["label"], row["train"], row["validation"], row["test"], f"{row['share']:.1%}"] for row in classes]
        yield table(["label", "train", "validation", "test", "share"], rows)


def _leaks(card: Mapping[str, Any]) -> Iterator[str]:
    leaks = card.get("leaks")
    if leaks:
        yield "## Leaks between splits"
        for rows in (leaks["cells"], leaks["pairs"]):
            if rows:
                yield table([name.replace("_", " ") for name in rows[0]], [list(row.values()) for row in rows])


def _defects(card: Mapping[str, Any]) -> Iterator[str]:
    defects = card.get("defects", ())
    if defects:
        yield "## Defects"
        rows = [[d["title"], d["count"], d["done"], _example(d)] for d in defects]
        yield table(["what", "rows", "done", "for example"], rows)


def _example(defect: Mapping[str, Any]) -> str:
    for example in defect.get("examples", ()):
        shown = example["detail"] or example["text"]
        return f"line {example['line']}: {shown}"
    return ""


def _found(found: Mapping[str, Any]) -> Iterator[str]:
    for name, value in found.items():
        yield f"## {str(name).replace('_', ' ').capitalize()}"
        said = outline(value)
        if said.facts:
            yield "\n".join(f"- {_cell(title)}: {_cell(fact)}" for title, fact in said.facts)
        for title, heads, lines in said.tables:
            if title:
                yield f"### {_cell(title).capitalize()}"
            yield table(heads, [["" if cell is None else cell for cell in line] for line in lines])
