"""Cleaning that changes nothing a reader would miss: outer white space, and text decoded twice (mojibake).

ftfy repairs the encoding alone: quotes, full-width characters, ligatures and line breaks stay as they are
written, and no U+FFFD is ever put in.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from tunewright.core.records import content_id
from tunewright.data.journal import Draft, Journal, composed, excerpt
from tunewright.data.targets.protocol import Target

_LOST = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ufffd]")
_TWICE_LOST = "\u00ef\u00bf\u00bd"
"""U+FFFD decoded twice. ftfy would turn it into a control character; what stood there cannot be had back."""


def repairer() -> Callable[[str], str]:
    """A function that repairs mojibake and leaves every other text as it is. Imports ftfy."""
    from ftfy import TextFixerConfig, fix_encoding
    from ftfy.badness import is_bad

    config = TextFixerConfig(
        unescape_html=False,
        remove_terminal_escapes=False,
        fix_encoding=True,
        restore_byte_a0=True,
        replace_lossy_sequences=False,
        decode_inconsistent_utf8=True,
        fix_c1_controls=False,
        fix_latin_ligatures=False,
        fix_character_width=False,
        uncurl_quotes=False,
        fix_line_breaks=False,
        fix_surrogates=False,
        remove_control_chars=False,
        normalization=None,
        explain=False,
    )

    def part(text: str) -> str:
        if text.isascii() or not is_bad(text):
            return text
        mended = fix_encoding(text, config)
        made = set(_LOST.findall(mended)) - set(_LOST.findall(text))
        return text if made else mended

    def repair(text: str) -> str:
        return text if text.isascii() else _TWICE_LOST.join(part(piece) for piece in text.split(_TWICE_LOST))

    return repair


class _Mender:
    """Repairs and strips texts, and remembers what it did since `start`."""

    def __init__(self) -> None:
        self.repair = repairer()
        self.start()

    def start(self) -> None:
        self.mended = self.stripped = False

    def __call__(self, text: str) -> str:
        mended = self.repair(text)
        bare = mended.strip()
        self.mended |= mended != text
        self.stripped |= bare != mended
        return bare


def clean(drafts: list[Draft], target: Target, journal: Journal) -> list[Draft]:
    """Strip and repair every text of every row, and give each row its id and comparison key."""
    mend = _Mender()
    for draft in drafts:
        before = draft.text
        mend.start()
        target.tidy(draft, mend)
        draft.id = content_id(composed(draft.text), None if draft.pair is None else composed(draft.pair))
        if mend.mended:
            journal.note("clean", "changed", "mojibake", draft, f"was: {excerpt(journal.shown(before))}")
        elif mend.stripped:
            journal.note("clean", "changed", "outer_space", draft)
        if not draft.text.isascii() and ("\ufffd" in draft.text or _TWICE_LOST in draft.text):
            journal.show("replacement_character", draft.source, draft.text, "left as it is: what stood there is lost")
    journal.close("clean", len(drafts), len(drafts))
    return drafts


def drop_empty(drafts: list[Draft], journal: Journal) -> list[Draft]:
    """Drop rows without a text, or without a second text where a column for it is read."""
    left = []
    for draft in drafts:
        if draft.text and draft.pair != "":
            left.append(draft)
        else:
            journal.note("empty", "dropped", "empty_text", draft, "no second text" if draft.text else "")
    journal.close("empty", len(drafts), len(left))
    return left


def identify(drafts: list[Draft]) -> None:
    """Number repeated ids `-2`, `-3`, ... in reading order."""
    seen: dict[str, int] = {}
    for draft in drafts:
        nth = seen[draft.id] = seen.get(draft.id, 0) + 1
        if nth > 1:
            draft.id = f"{draft.id}-{nth}"
