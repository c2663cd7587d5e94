"""Which rows stay together when rows are divided: near copies, and rows of one group where a group is named.

Rows that share a cluster or a group, directly or through others, are one unit; its name depends on its members alone.
Cost: one pass, union by smallest name.
"""

from __future__ import annotations

from collections.abc import Sequence

from tunewright.data.journal import Draft


def units(drafts: Sequence[Draft], by_group: bool) -> list[str]:
    """The name of each row's unit: that of its (first) group, else the smallest of its contents' keys.

    A group's name begins with a space, so that it comes before keys: the unit of a group keeps its name as rows are added.
    """
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        path = []
        while (above := parent.setdefault(name, name)) != name:
            path.append(name)
            name = above
        for one in path:
            parent[one] = name
        return name

    def join(one: str, other: str) -> None:
        a, b = root(one), root(other)
        if a != b:
            parent[max(a, b)] = min(a, b)

    for draft in drafts:
        root(draft.key)
        if draft.cluster is not None:
            join(draft.key, f"~cluster {draft.cluster}")
        if by_group and draft.group is not None:
            join(draft.key, f" group {draft.group}")
    return [root(draft.key) for draft in drafts]
