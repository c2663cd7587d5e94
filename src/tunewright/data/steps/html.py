"""What is left of HTML in a text: tags, comments, scripts and styles, character references.

Only names that HTML knows are tags, and only as HTML writes them, so that `3 < 5`, `<3`, `I <3 you`, `List<String>`, `<url>` and
`</s>` stay. Names that are also words people put between angle brackets (`<title>`, `<input>`) need attributes or a closing tag.
Tags of blocks become a line break, others nothing. Character references are read after that, unless they stand for
a control character or half of a surrogate pair; what they then spell is HTML again (`&lt;br&gt;`): it was written
twice. Code between backticks stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import unescape
from html.entities import html5
from typing import ClassVar

from tunewright.core.registry import register
from tunewright.data.steps.protocol import Edit, Phase
from tunewright.data.steps.rewriting import outside_code, rewritten, settled

_BLOCK = (
    "article|aside|blockquote|br|center|dd|div|dl|dt|fieldset|figcaption|figure|footer|form|h[1-6]|header|hr|li|main|nav|ol|p|pre|"
    "section|table|tbody|td|tfoot|th|thead|tr|ul"
)
_INLINE = (
    "a|abbr|acronym|audio|b|bdi|bdo|big|body|button|caption|canvas|cite|col|colgroup|del|dfn|em|embed|font|frame|frameset|head|"
    "html|i|iframe|img|ins|kbd|mark|marquee|meta|noscript|nobr|picture|param|q|rp|rt|ruby|samp|script|small|span|strike|strong|"
    "style|sub|sup|svg|tt|u|video|wbr"
)
_WORDS = (
    "address|area|base|code|data|datalist|details|dialog|input|label|legend|link|map|menu|meter|object|option|output|progress|"
    "select|slot|source|summary|template|textarea|time|title|track|var"
)
_BARE = (
    "allowfullscreen|async|autofocus|autoplay|checked|controls|default|defer|disabled|hidden|ismap|loop|multiple|muted|"
    "noshade|novalidate|nowrap|open|readonly|required|reversed|selected"
)
_VALUE = r"""(?:"[^"<]*+"|'[^'<]*+'|[^\s"'<>`]++)"""
_ATTRIBUTES = rf"(?P<with>(?:\s++(?:[A-Za-z_:@][\w:.\-]*+\s*+=\s*+{_VALUE}|(?:{_BARE})(?=[\s/>])))*+)"
_TAG = re.compile(rf"<(?P<close>/?)(?P<name>{_BLOCK}|{_INLINE}|{_WORDS})(?=[\s/>]){_ATTRIBUTES}\s*+/?>", re.IGNORECASE)
_IS_BLOCK = re.compile(f"(?:{_BLOCK})\\Z", re.IGNORECASE)
_IS_WORD = re.compile(f"(?:{_WORDS})\\Z", re.IGNORECASE)
_HIDDEN = re.compile(r"<!--|<(script|style)(?=[\s>])[^<>]*+>|<!DOCTYPE\s[^<>]*+>|<!\[CDATA\[|\]\]>", re.IGNORECASE)
_REFERENCE = re.compile(r"&(?:amp;)*(?P<name>#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffd\ufffe\uffff]")
_MARK = "\udc00"
_BLANKS = re.compile(f"[ \t\n{_MARK}]+")

DESCRIBED = {"html": ("HTML in the text", "removed")}


_CLOSING = {
    "<!--": re.compile("-->"),
    "script": re.compile(r"</script[^<>]*>", re.IGNORECASE),
    "style": re.compile(r"</style[^<>]*>", re.IGNORECASE),
}


def _without_hidden(text: str) -> str:
    """The text without comments, scripts, styles and declarations; what is never closed stays. Linear in its length."""
    parts, place, start, unclosed = list[str](), 0, 0, set[str]()
    while match := _HIDDEN.search(text, start):
        kind = "<!--" if match.group() == "<!--" else (match.group(1) or "").lower()
        start = end = match.end()
        if kind:
            shut = None if kind in unclosed else _CLOSING[kind].search(text, end)
            if shut is None:
                unclosed.add(kind)
                continue
            start = end = shut.end()
        parts.append(text[place : match.start()])
        place = end
    return "".join(parts) + text[place:]


def _without_tags(text: str) -> str:
    closed = {name.lower() for name in re.findall(r"</([A-Za-z]+)\s*>", text)}

    def instead(match: re.Match[str]) -> str:
        name = match["name"]
        if _IS_WORD.match(name) and not match["with"].strip() and name.lower() not in closed:
            return match.group()
        return _MARK if _IS_BLOCK.match(name) else ""

    bare = _TAG.sub(instead, text)
    return _BLANKS.sub(lambda run: "\n" if _MARK in run.group() else run.group(), bare) if _MARK in bare else bare


def _read(match: re.Match[str]) -> str:
    """What a character reference stands for; itself, written once, where that is nothing to be read."""
    name = match["name"]
    plain = unescape(f"&{name};") if name[0] == "#" or f"{name};" in html5 else ""
    return f"&{name};" if not plain or _UNSEEN.search(plain) else plain


def _plain(text: str) -> str:
    if "<" in text or "]]>" in text:
        text = _without_tags(_without_hidden(text))
    return _REFERENCE.sub(_read, text) if "&" in text else text


_settled = settled(outside_code(_plain))


def _stripped(text: str) -> str:
    new = _settled(text)
    return new if new == text else new.strip("\n")


@register("step", "html")
@dataclass(frozen=True)
class Html:
    """Takes it out."""

    phase: ClassVar[Phase] = "texts"
    reason: ClassVar[str] = "html"

    def __call__(self, texts: Sequence[str]) -> list[Edit | None]:
        return rewritten(texts, lambda text: "<" in text or "&" in text or "]]>" in text, _stripped)
