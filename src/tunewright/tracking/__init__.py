"""The run folder: where every value of a run is kept, and what the run was made of."""

from tunewright.tracking.folder import RunFolder, inventory
from tunewright.tracking.lineage import machine, versions

__all__ = ["RunFolder", "inventory", "machine", "versions"]
