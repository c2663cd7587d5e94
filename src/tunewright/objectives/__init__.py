"""What is minimised. Each member returns sums with a unit; none divides, none knows a model."""

from tunewright.objectives.cross_entropy import CrossEntropy
from tunewright.objectives.focal import Focal

__all__ = ["CrossEntropy", "Focal"]
