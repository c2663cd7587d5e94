"""What is minimised. Each member returns sums with a unit; none divides, none knows a model.

`fits` says what an objective's targets are: a class, a set of labels, or numbers.
"""

from tunewright.objectives.binary_cross_entropy import BinaryCrossEntropy
from tunewright.objectives.cross_entropy import CrossEntropy
from tunewright.objectives.focal import Focal
from tunewright.objectives.huber import Huber
from tunewright.objectives.mae import Mae
from tunewright.objectives.mse import Mse

__all__ = ["BinaryCrossEntropy", "CrossEntropy", "Focal", "Huber", "Mae", "Mse"]
