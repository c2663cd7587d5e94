"""A row of a file to a text and its spans as they stand there: tokens with tags, or offsets in one of many spellings.

What was read travels as the row's label in JSON, with the text that its offsets belong to:
    {"text": ..., "spans": [[start, end, type], ...]}
    {"text": ..., "pieces": [[start, end], ...], "tags": [...]}      spans of tokens; the scheme is found out later
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tunewright.core.errors import closest, listed
from tunewright.data.rows import Columns, UnfitError, as_text

TEXTS = ("text", "sentence", "content", "data", "raw", "文本", "内容", "句子")
TOKENS = ("tokens", "words", "token", "chars")
SPANS = ("spans", "entities", "label", "labels", "ner", "annotations", "实体", "标注")
TAGS = ("ner_tags", "tags", "labels", "label", "ner", "bio_tags", "bio")
_START = ("start", "start_offset", "start_idx", "begin", "from")
_END = ("end", "end_offset", "end_idx", "stop", "to")
_TYPE = ("label", "type", "entity_group", "entity_type", "entity", "tag", "category", "class", "labels")
_SURFACE = ("text", "word", "surface", "mention", "value")
_CJK = r"[\u2e80-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef\U00020000-\U0003ffff]"
_BORDER = re.compile(rf"{_CJK}{_CJK}")


def chosen(values: Mapping[str, Any], columns: Columns) -> tuple[str, str | None]:
    """The keys of the text (or the tokens) and of the spans (or the tags): those asked for, else those that are usual.

    Raises:
        UnfitError: there is no text.
    """
    text = columns.text if columns.text in values else _first(values, (*TOKENS, *TEXTS), ())
    asked = columns.label if isinstance(columns.label, str) else None
    if text is None:
        known = listed([repr(name) for name in values]) or "no keys"
        raise UnfitError(
            "missing_field", f"no text and no tokens; the row has {known} {closest(columns.text or '', values)}".strip()
        )
    if asked in values and asked != text:
        return text, asked
    if "tokens" in values and text != "tokens" and _first(values, SPANS[:2], ()) is None:
        tags = _first(values, TAGS, (text,))
        text = "tokens" if tags is not None and _listed(values[tags]) and _listed(values["tokens"]) else text
    usual = TAGS if _listed(values[text]) else SPANS
    return text, _first(values, usual, (text,))


def _first(values: Mapping[str, Any], names: Sequence[str], but: Sequence[str]) -> str | None:
    return next((name for name in names if name in values and name not in but), None)


def _listed(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def row_of(
    values: Mapping[str, Any], columns: Columns, names: Mapping[str, tuple[str, ...]], close: bool
) -> tuple[str, str | None]:
    """The text of a row and its label in the form above; None where nobody labelled it.

    Args:
        values: its cells by column.
        columns: what the recipe calls them.
        names: those of the tags where they are numbers.
        close: whether tokens stand without spaces between them.

    Raises:
        UnfitError: there is no text, or it is none; tokens and tags of different number.
    """
    text_key, label_key = chosen(values, columns)
    label = values[label_key] if label_key is not None else None
    if isinstance(label, str):
        label = _decoded(label)
    if not _listed(values[text_key]):
        text = as_text(values[text_key], "text") or ""
        return text, None if label is None else _packed(text=text, spans=_entries(label, text))
    tokens = [as_text(token, "token") or "" for token in values[text_key]]
    text, pieces = joined(tokens, close or _characters(tokens))
    if label is None:
        return text, None
    if not isinstance(label, (list, tuple)) or len(label) != len(tokens):
        seen = len(label) if isinstance(label, (list, tuple)) else "no list of"
        raise UnfitError("tags_of_tokens", f"{len(tokens)} tokens, {seen} tags")
    own = names.get(label_key or "", ())
    return text, _packed(text=text, pieces=pieces, tags=[_tag(tag, own) for tag in label])


def _packed(**found: Any) -> str:
    return json.dumps(found, ensure_ascii=False, separators=(",", ":"))


def _decoded(label: str) -> Any:
    if not label.strip():
        return None
    try:
        return json.loads(label)
    except (ValueError, RecursionError):
        raise UnfitError("bad_spans", f"{label[:80]!r} is no list of spans") from None


def joined(tokens: Sequence[str], close: bool) -> tuple[str, list[tuple[int, int]]]:
    """The text of tokens and each one's place in it.

    Between two words stands a space, but none between two Chinese or Japanese characters and none beside white space;
    with `close` there is none anywhere.
    """
    text, pieces = "", list[tuple[int, int]]()
    for token in tokens:
        bare = not text or not token or text[-1].isspace() or token[0].isspace()
        if not (close or bare or _BORDER.match(text[-1] + token[0])):
            text += " "
        pieces.append((len(text), len(text) + len(token)))
        text += token
    return text, pieces


def _characters(tokens: Sequence[str]) -> bool:
    """Whether these tokens are the characters of a Chinese or Japanese text."""
    return all(len(token) <= 1 for token in tokens) and any(re.match(_CJK, token) for token in tokens)


def _tag(tag: Any, names: Sequence[str]) -> str:
    if isinstance(tag, int) and not isinstance(tag, bool):
        if not 0 <= tag < len(names):
            raise UnfitError("unknown_label", f"tag number {tag}; there are {len(names)} names")
        return names[tag]
    return as_text(tag, "tag") or "O"


def _entries(label: Any, text: str) -> list[tuple[int, int, str]]:
    """The spans of a label: objects, triples, or CLUENER's {type: {surface: [[first, last], ...]}}."""
    if isinstance(label, dict):
        return [(*_place(at, text, surface, 1), str(kind)) for kind, found in label.items()
                for surface, places in _items(found) for at in places]  # fmt: skip
    if not _listed(label):
        raise UnfitError("bad_spans", f"{str(label)[:80]!r} is no list of spans")
    return [_entry(one, text) for one in label]


def _items(found: Any) -> list[tuple[str, list[Any]]]:
    if not isinstance(found, dict) or not all(_listed(places) for places in found.values()):
        raise UnfitError("bad_spans", f"{str(found)[:80]!r} is no object of surfaces and their places")
    return [(str(surface), list(places)) for surface, places in found.items()]


def _entry(one: Any, text: str) -> tuple[int, int, str]:
    if isinstance(one, dict):
        keys = [next((name for name in names if name in one), None) for names in (_START, _END, _TYPE, _SURFACE)]
        start, end, kind, surface = (None if key is None else one[key] for key in keys)
    elif isinstance(one, (list, tuple)) and len(one) >= 3:
        (start, end, kind), surface = one[:3], None
        if isinstance(start, str) and not isinstance(kind, str):  # [type, start, end]
            start, end, kind = end, kind, start
    else:
        raise UnfitError("bad_spans", f"{str(one)[:80]!r} is no span with start, end and type")
    if isinstance(kind, list) and len(kind) == 1:
        kind = kind[0]
    if not isinstance(kind, str) or not kind.strip():
        raise UnfitError("bad_spans", f"{str(one)[:80]!r} names no type")
    return (*_place([start, end], text, surface, 0), kind.strip())


def _place(at: Any, text: str, surface: Any, beyond: int) -> tuple[int, int]:
    """Start and end of a span; its own surface, where it is given, must stand there.

    Offsets that count bytes or UTF-16 units are found out so.
    """
    if not isinstance(at, (list, tuple)) or len(at) != 2 or not all(type(x) is int for x in at):
        raise UnfitError("bad_spans", f"{str(at)[:80]!r} is no start and end")
    start, end = int(at[0]), int(at[1]) + beyond
    if isinstance(surface, str) and 0 <= start < end <= len(text) and text[start:end].strip() != surface.strip():
        raise UnfitError("span_text", f"{text[start:end][:40]!r} stands at {start} to {end}, not {surface[:40]!r}")
    return start, end
