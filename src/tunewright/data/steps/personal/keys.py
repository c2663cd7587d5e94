"""Keys, tokens and passwords: those that their issuers mark, and values that a name says are secret.

Marked: AWS, GitHub, GitLab, OpenAI and Anthropic, Google, Slack, Stripe, Hugging Face, npm, JSON web tokens (RFC 7519), private
keys in PEM (RFC 7468). What follows `api_key=`, `password:`, `密码：` or `Bearer` is one where it is long enough and as
disordered as such values are: letters and digits, at least 2.5 bits a character (Shannon), so that words and places in
templates (`password: yourpassword`, `key=<key>`) stay.
"""

from __future__ import annotations

import math
import re
from collections import Counter

_MARKED = re.compile(
    r"(?<![A-Za-z0-9])(?:(?:AKIA|ASIA|AGPA|AROA|AIDA)[A-Z0-9]{16}|gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255}"
    r"|glpat-[A-Za-z0-9_\-]{20,64}|sk-(?:proj-|ant-|svcacct-|or-)?[A-Za-z0-9_\-]{20,200}|AIza[A-Za-z0-9_\-]{35}"
    r"|xox[abeoprs]-[A-Za-z0-9\-]{10,250}|[spr]k_(?:live|test)_[A-Za-z0-9]{16,250}|hf_[A-Za-z0-9]{30,64}|npm_[A-Za-z0-9]{36}"
    r"|eyJ[A-Za-z0-9_\-]{8,}\.eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,})(?![A-Za-z0-9])"
)
_PEM = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY-----")
_PEM_END = re.compile(r"-----END (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY-----")
_NAMED = re.compile(
    r"(?:(?<![A-Za-z])(?:[A-Za-z0-9]{1,20}[_\-]){0,3}(?:api[_\- ]?key|apikey|access[_\- ]?key(?:[_\- ]?id)?|secret(?:[_\- ]?key)?|"
    r"(?:access|auth|refresh|bearer|api|id)?[_\-]?token|password|passwd|pwd|passphrase|client[_\- ]?secret|private[_\- ]?key)"
    r"|密码|密碼|口令|密钥|金鑰)[\"']?\s{0,3}(?:=|:|：|is|是|为)\s{0,3}[\"']?(?P<value>[A-Za-z0-9!#$%^&*_+\-./=~@]{6,512})",
    re.IGNORECASE,
)
_BEARER = re.compile(r"(?<![A-Za-z])(?:Bearer|Basic)\s{1,3}(?P<value>[A-Za-z0-9._~+/\-]{16,4096}={0,2})")
_BITS = 2.5


def keys(text: str) -> list[tuple[int, int]]:
    """Where they stand; of a named value the value alone."""
    found = list[tuple[int, int]]()
    if any(mark in text for mark in ("_", "-", "eyJ", "AIza", "AKIA", "ASIA", "AGPA", "AROA", "AIDA")):
        found = [match.span() for match in _MARKED.finditer(text) if _mixed(match.group())]
    if "-----BEGIN " in text:
        found += _private(text)
    lower = text.lower()
    if any(word in lower for word in ("key", "token", "passw", "pwd", "secret", "passp", "密", "口令", "金鑰")):
        found += [match.span("value") for match in _NAMED.finditer(text) if _disordered(match["value"])]
    if "Bearer" in text or "Basic" in text:
        found += [match.span("value") for match in _BEARER.finditer(text) if _disordered(match["value"])]
    return sorted(found)


def _private(text: str) -> list[tuple[int, int]]:
    """Private keys; one that is never closed goes to the end of the text."""
    found, place = [], 0
    while begun := _PEM.search(text, place):
        ended = _PEM_END.search(text, begun.end())
        place = ended.end() if ended else len(text)
        found.append((begun.start(), place))
    return found


def _mixed(word: str) -> bool:
    return any(c.isdigit() for c in word) and len(set(word)) > 8


def _disordered(value: str) -> bool:
    """Whether a value is no word: letters and digits, hardly ever the same."""
    bare = value.rstrip(".=")
    if not (any(c.isdigit() for c in bare) and any(c.isalpha() for c in bare)):
        return False
    return -sum(n / len(bare) * math.log2(n / len(bare)) for n in Counter(bare).values()) >= _BITS
