"""What is minimised. Each member returns sums with a unit; none divides, none knows a model.

`fits` says what an objective's targets are: a class, a set of labels, numbers, tokens, pairs or thumbs; `soft` whether a
class may be unsure, a probability of each. One that holds
another (`inner`) adds its own term to that one's.
"""

from tunewright.objectives.binary_cross_entropy import BinaryCrossEntropy
from tunewright.objectives.bradley_terry import BradleyTerry
from tunewright.objectives.confidence_penalty import ConfidencePenalty
from tunewright.objectives.cross_entropy import CrossEntropy
from tunewright.objectives.custom import Custom
from tunewright.objectives.diversity import Diversity
from tunewright.objectives.dpo import Dpo
from tunewright.objectives.factual_consistency import FactualConsistency
from tunewright.objectives.focal import Focal
from tunewright.objectives.huber import Huber
from tunewright.objectives.ipo import Ipo
from tunewright.objectives.kto import Kto
from tunewright.objectives.mae import Mae
from tunewright.objectives.minimum_risk import MinimumRisk
from tunewright.objectives.mixup import Mixup
from tunewright.objectives.mse import Mse
from tunewright.objectives.orpo import Orpo
from tunewright.objectives.r_drop import RDrop
from tunewright.objectives.relevance import Relevance
from tunewright.objectives.simpo import SimPo
from tunewright.objectives.unlikelihood import Unlikelihood
from tunewright.objectives.wrapping import fingerprint, fitting, moved, takes_soft

__all__ = [
    "BinaryCrossEntropy", "BradleyTerry", "ConfidencePenalty", "CrossEntropy", "Custom", "Diversity", "Dpo",
    "FactualConsistency", "Focal", "Huber", "Ipo", "Kto", "Mae", "MinimumRisk", "Mixup", "Mse", "Orpo", "RDrop", "Relevance",
    "SimPo", "Unlikelihood", "fingerprint", "fitting", "moved", "takes_soft",
]  # fmt: skip
