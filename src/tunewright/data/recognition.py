"""Which task a file's rows are for, where they are read as a whole: a guess, with its evidence in words.

Conversations and preferences are known by the form of their rows, translations and summaries by the names of their
columns, plain texts by what they are called. What is none of these is guessed column by column (`columns`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunewright.core.errors import DataError, Problem
from tunewright.data.conversations import Found, chats, form_of, preferences, recognised
from tunewright.data.conversations.columns import ColumnsChat, ColumnsPreference
from tunewright.data.folders import TEXT_ENDINGS, Member, parallel
from tunewright.data.rows import Columns
from tunewright.data.targets.documents import NAMES

_SOURCES = (
    "source",
    "src",
    "document",
    "article",
    "dialogue",
    "dialog",
    "text",
    "input",
    "original",
    "complex",
    "原文",
    "正文",
)
_TARGETS = ("target", "tgt", "summary", "highlights", "abstract", "simplified", "simple", "摘要", "译文")
_LANGUAGES = frozenset([
    "ar", "bg", "cs", "da", "de", "el", "en", "es", "et", "fi", "fr", "he", "hi", "hr", "hu", "id", "it", "ja", "ko", "lt",
    "lv", "nl", "no", "pl", "pt", "ro", "ru", "sk", "sl", "sv", "th", "tr", "uk", "vi", "zh",
])  # fmt: skip
_MOST_FAULTS = 0.1


@dataclass(frozen=True)
class Recognised:
    """A task with its columns (None where they need not be named), its form, and why."""

    task: str
    why: tuple[str, ...]
    text: str | None = None
    label: str | None = None
    conversation: str | None = None


def conversation_in(sample: Sequence[Mapping[str, Any]], task: str | None = None) -> Recognised | None:
    """Preferences or conversations in a form that nothing else has; with `task`, in any form of that task.

    Prompt and completion alone do not tell: `several_texts` takes them where no label is found.
    """
    if task in (None, "preference", "reward"):
        forms = [form for form in preferences() if task or not isinstance(form, ColumnsPreference)]
        found = recognised(sample, forms)
        if found is None and task is None:
            found = _plain_preference(sample)
        if found is not None:
            return _said(task or "preference", found)
    if task in (None, "chat"):
        found = recognised(sample, [form for form in chats() if task or not isinstance(form, ColumnsChat)])
        if found is not None:
            return _said("chat", found)
    return None


def _plain_preference(sample: Sequence[Mapping[str, Any]]) -> Found | None:
    """Chosen beside rejected, or a thumb that is truly true or false: 0 and 1 may be classes of anything."""
    found = recognised(sample, [ColumnsPreference()])
    if found is None or "rejected" in found.why:
        return found
    tag = found.why.rsplit(", ", 1)[-1]
    return found if all(isinstance(row.get(tag), bool) for row in sample) else None


def _said(task: str, found: Found) -> Recognised:
    what = "preferences" if task != "chat" else "conversations"
    name = "columns" if found.form == "hh_rlhf" else found.form
    return Recognised(task, (f"{task}: {what} in the form {found.form}, known by {found.why}",), conversation=name)


def several_texts(
    sample: Sequence[Mapping[str, Any]], texts: Sequence[str], task: str | None = None
) -> Recognised | None:
    """Prompt and completion, source and target, or documents, by the names of the columns that hold texts."""
    if task in (None, "chat"):
        found = recognised(sample, [ColumnsChat()])
        if found is not None and set(found.why.split(", ")) <= {*texts}:
            return _said("chat", found)
    if task in (None, "seq2seq"):
        inner = next((row["translation"] for row in sample if isinstance(row.get("translation"), Mapping)), None)
        pair = _pair([str(name) for name in inner] if inner else texts)
        if pair is not None:
            where = " inside 'translation'" if inner else ""
            why = f"seq2seq: {pair[0]!r} and {pair[1]!r}{where} are named like a source and its target"
            return Recognised("seq2seq", (why,), *pair)
    if task in (None, "language_modeling") and len(texts) == 1 and (task or texts[0].strip().lower() in NAMES):
        return Recognised(
            "language_modeling", (f"language_modeling: {texts[0]!r} is the only column of texts",), texts[0]
        )
    return None


def refuse_unknown(sample: Sequence[Mapping[str, Any]], task: str, file: str) -> None:
    """Says what was looked for in rows that shall be conversations or preferences, and what was found.

    Raises:
        DataError: they are neither.
    """
    if task in ("chat", "preference", "reward"):
        form_of(sample, chats() if task == "chat" else preferences(), "auto", Columns(), file)


def _pair(texts: Sequence[str]) -> tuple[str, str] | None:
    """Source and target among columns of texts; of two languages English is the source."""
    known = {name.strip().lower(): name for name in texts}
    if len(texts) == 2 and set(known) <= _LANGUAGES:
        one, two = sorted(texts, key=lambda name: name.lower() != "en") if "en" in known else texts
        return one, two
    source, target = (next((known[name] for name in names if name in known), None) for names in (_SOURCES, _TARGETS))
    return (source, target) if source is not None and target is not None else None


def beside(path: Path) -> tuple[Path, Recognised] | None:
    """Parallel files, for their stem or one of them: the stem, and which is source and target; None where there are none.

    Raises:
        DataError: more than two files have that stem.
    """
    stem = path.with_suffix("") if path.is_file() and path.suffix[1:].lower() in _LANGUAGES else path
    if stem.exists() or not stem.parent.is_dir() or not stem.name:
        return None
    endings = sorted(
        p.name[len(stem.name) + 1 :]
        for p in stem.parent.iterdir()
        if p.name.startswith(f"{stem.name}.") and p.is_file()
    )
    plain = [end for end in endings if end.isalpha() and f".{end}" not in TEXT_ENDINGS]
    if len(plain) > 2 and set(plain) <= _LANGUAGES:
        raise DataError(
            Problem(where=str(stem), found=f"files in {len(plain)} languages: {', '.join(plain)}", allowed="two",
                    to_do="name the source's and the target's ending with --text and --label")
        )  # fmt: skip
    pair = _pair(plain)
    if pair is None or parallel(stem, pair) is None:
        return None
    why = f"seq2seq: {stem.name}.{pair[0]} and {stem.name}.{pair[1]} belong together line by line"
    return stem, Recognised("seq2seq", (why,), *pair)


def table_like(faults: int, rows: int) -> bool:
    """Whether a plain text is a table by accident: most of its lines have not as many fields as the first."""
    return rows > 1 and faults <= _MOST_FAULTS * (faults + rows)


def documents(members: Sequence[Member]) -> Recognised:
    """Plain texts, by their names."""
    if members[0].whole:
        return Recognised(
            "language_modeling", (f"language_modeling: {len(members):,} plain texts, one document a file",)
        )
    return Recognised("language_modeling", ("language_modeling: plain text, not a table",))
