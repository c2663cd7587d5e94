"""How long an annotator takes for an answer: the median gap between times of day, or the median of durations.

Times are read as ISO 8601, as seconds or milliseconds since 1970, or (small numbers) as the seconds that an answer took. Gaps over
half an hour are breaks and do not count. What cannot be read says nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from tunewright.data.labels.votes import Votes, number

Floats = NDArray[np.float64]
_SINCE_1970 = 1e8
_MILLISECONDS = 1e11
_BREAK = 1800.0


def seconds(time: str | None) -> float:
    """A time as seconds; NaN where it is none."""
    if not time:
        return float("nan")
    value = number(time)
    if value is not None:
        return value / 1000 if value > _MILLISECONDS else value
    try:
        read = datetime.fromisoformat(time.strip())
    except ValueError:
        return float("nan")
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()


def pace(votes: Votes) -> tuple[Floats, float | None]:
    """(J,) median seconds an answer, NaN where unknown, and the median annotator's; None where fewer than three are known."""
    found = np.full(len(votes.by), np.nan)
    if votes.times:
        times = np.array([seconds(t) for t in votes.times])
        known = np.isfinite(times)
        of_day = known.any() and float(np.median(times[known])) > _SINCE_1970
        for j in range(len(votes.by)):
            own = np.sort(times[(votes.who == j) & known])
            taken = _gaps(own) if of_day else own
            if len(taken) >= 3:
                found[j] = float(np.median(taken))
    told = found[np.isfinite(found)]
    return found, float(np.median(told)) if len(told) >= 3 else None


def _gaps(times: Floats) -> Floats:
    """The gaps between times in their order, without breaks."""
    gaps = np.diff(times)
    return gaps[gaps < _BREAK]
