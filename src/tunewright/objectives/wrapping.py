"""What objectives that hold another objective share: all but the loss is passed on to it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Self

from tunewright.core.tensors import Facts, Fits, Report


class Wrapping:
    """Base of frozen dataclasses with a field `inner`: another objective, or None."""

    inner: Any

    def prepare(self, facts: Facts) -> Self:
        """The same objective around a prepared one."""
        found: Self = replace(self, inner=prepared(self.inner, facts))  # type: ignore[type-var]
        return found

    def observe(self, report: Report) -> None:
        if hasattr(self.inner, "observe"):
            self.inner.observe(report)

    def state(self) -> dict[str, Any]:
        return dict(self.inner.state()) if hasattr(self.inner, "state") else {}

    def load(self, state: Mapping[str, Any]) -> None:
        if hasattr(self.inner, "load"):
            self.inner.load(state)


def prepared(objective: Any, facts: Facts) -> Any:
    """The objective as it trains on data with these facts."""
    return objective.prepare(facts) if hasattr(objective, "prepare") else objective


def fitting(objective: Any) -> tuple[Fits, ...]:
    """The kinds of targets that an objective and all that it holds can be used with."""
    own: tuple[Fits, ...] = objective.fits
    inner = getattr(objective, "inner", None)
    return own if inner is None else tuple(kind for kind in own if kind in fitting(inner))


def takes_soft(objective: Any) -> bool:
    """Whether an objective and all that it holds can learn from targets that are not sure."""
    inner = getattr(objective, "inner", None)
    return bool(getattr(objective, "soft", False)) and (inner is None or takes_soft(inner))


def moved(objective: Any, change: Callable[[str], str]) -> Any:
    """The objective, and all that it contains, with every path changed; its class names the fields in `paths`."""
    if objective is None:
        return None
    changes = {name: change(getattr(objective, name)) for name in getattr(objective, "paths", ())}
    if getattr(objective, "inner", None) is not None:
        changes["inner"] = moved(objective.inner, change)
    return replace(objective, **changes) if changes else objective


def fingerprint(objective: Any) -> str | None:
    """SHA-256 over what the files of an objective hold, and of all that it contains; None where there are none."""
    found = []
    while objective is not None:
        found += [objective.fingerprint] if hasattr(objective, "fingerprint") else []
        objective = getattr(objective, "inner", None)
    return hashlib.sha256(json.dumps(found).encode()).hexdigest() if found else None
