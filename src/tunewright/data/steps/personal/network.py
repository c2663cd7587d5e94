"""Addresses of the Internet Protocol, versions 4 and 6, that may be somebody's.

Four numbers with points are as often a version or a section: not after a word for those, not with a further part, not
where all are single digits unless a word says that it is an address. Not anybody's: loopback, unspecified, broadcast, masks.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address

_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_V4 = re.compile(rf"(?<![A-Za-z0-9_.\-])(?:{_OCTET}\.){{3}}{_OCTET}(?![A-Za-z0-9_\-]|\.\d)")
_V6 = re.compile(r"(?<![0-9A-Za-z:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?![0-9A-Za-z:])")
_VERSION = re.compile(
    r"(?:(?<![a-z])(?:v|ver|version|release|build|section|sec|chapter|clause|article|rfc|figure|table|firmware)\.?|版本|版|章|节|節|第|§)"
    r"[ :]{0,2}\Z",
    re.IGNORECASE,
)
_ADDRESS = re.compile(
    r"(?:(?<![a-z])(?:ip|ipv4|address|host|server|ping|ssh|dns|gateway|from)|地址|服务器|伺服器|主机)\W{0,4}\Z",
    re.IGNORECASE,
)


def addresses(text: str) -> list[tuple[int, int]]:
    """Where they stand."""
    found = []
    if text.count(".") >= 3:
        found = [match.span() for match in _V4.finditer(text) if _personal(text, match)]
    if text.count(":") >= 2:
        found += [match.span() for match in _V6.finditer(text) if _six(match.group())]
    return sorted(found)


def _personal(text: str, match: re.Match[str]) -> bool:
    before = text[max(match.start() - 20, 0) : match.start()]
    address = IPv4Address(match.group())
    if (
        address.is_loopback
        or address.is_unspecified
        or address.is_multicast
        or match.group().startswith(("255.", "0."))
    ):
        return False
    if len(match.group()) == 7 and not _ADDRESS.search(before):
        return False
    return not _VERSION.search(before)


def _six(word: str) -> bool:
    try:
        address = IPv6Address(word)
    except AddressValueError:
        return False
    if address.is_loopback or address.is_unspecified:
        return False
    return sum(map(bool, word.split(":"))) >= 3 and any(character.isdigit() for character in word)
