"""Labels that may be wrong: found by out-of-sample probabilities, shown to people, never deleted by themselves.

People confirm about half of what such methods flag (Northcutt, Athalye and Mueller 2021), so the default is to review:
`ranking` orders rows, `review` asks about them and measures its own precision, `joint` says how many errors there may be.
"""

from tunewright.data.suspects.finding import Suspect, Suspects, find
from tunewright.data.suspects.joint import confident_joint, estimated_errors
from tunewright.data.suspects.ranking import Method, Ranked, ranked

__all__ = ["Method", "Ranked", "Suspect", "Suspects", "confident_joint", "estimated_errors", "find", "ranked"]
