"""Addresses of the web, by policy: kept, removed, one token for all, or the domain alone.

Found are addresses with a scheme (http, https, ftp), those that begin with `www.`, and domains with a path
(`bit.ly/3x`). Punctuation at the end belongs to the sentence, Chinese characters end an address, brackets are balanced.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from tunewright.core.registry import register
from tunewright.data.steps.protocol import Edit, Phase
from tunewright.data.steps.rewriting import replaced, rewritten, settled

_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_TLD = "com|net|org|edu|gov|info|biz|io|co|me|tv|ly|gl|gd|be|cc|cn|hk|tw|uk|de|fr|jp|kr|in|ru|us|eu|app|dev|ai"
_REST = r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]"
_URL = re.compile(
    rf"(?<![A-Za-z0-9])(?:https?|ftp)://{_REST}+|(?<![A-Za-z0-9@.\-_])www\.{_HOST}\.{_REST}+"
    rf"|(?<![A-Za-z0-9@.\-_])(?:{_HOST}\.){{1,4}}(?:{_TLD})/{_REST}*",
    re.IGNORECASE,
)
_AUTHORITY = re.compile(rf"(?:(?:https?|ftp):/+)*(?:[^/?#@]*@)?(?:www\.)*({_HOST}(?:\.{_HOST})*)", re.IGNORECASE)
_BRACKETS = {")": "(", "]": "["}

DESCRIBED = {"urls": ("Addresses of the web", "treated as the recipe says")}


def urls(text: str) -> list[tuple[int, int]]:
    """Where addresses stand."""
    found = []
    for match in _URL.finditer(text):
        url = match.group()
        while url and (url[-1] in ".,;:!?'*" or (url[-1] in _BRACKETS and _open(url))):
            url = url[:-1]
        if not url.endswith("//"):
            found.append((match.start(), match.start() + len(url)))
    return found


def _open(url: str) -> bool:
    """Whether the bracket at the end closes none of the address."""
    return url.count(url[-1]) > url.count(_BRACKETS[url[-1]])


def domain(url: str) -> str:
    """The domain of an address, without `www.`; nothing where it has none."""
    match = _AUTHORITY.match(url)
    return match.group(1) if match else ""


def might(text: str) -> bool:
    """Whether an address may stand in the text."""
    return "/" in text or "www." in text or "WWW." in text


@register("step", "urls")
@dataclass(frozen=True)
class Urls:
    """Treats addresses by the policy; `token` is what stands for one."""

    policy: Literal["keep", "remove", "token", "domain"] = "token"
    token: str = "<url>"

    phase: ClassVar[Phase] = "texts"
    reason: ClassVar[str] = "urls"
    shorthand: ClassVar[str] = "policy"

    def __call__(self, texts: Sequence[str]) -> list[Edit | None]:
        if self.policy == "keep":
            return [None] * len(texts)
        return rewritten(texts, might, settled(self._rewritten))

    def _rewritten(self, text: str) -> str:
        word = {"remove": lambda _: "", "token": lambda _: self.token, "domain": domain}[self.policy]
        return replaced(text, [(start, end, word(text[start:end])) for start, end in urls(text)])
