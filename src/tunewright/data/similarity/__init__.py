"""Which texts are near copies of one another: shingles by script, MinHash, bands, true Jaccard, clusters."""

from tunewright.data.similarity.clusters import Alarm, alarm, near_clusters

__all__ = ["Alarm", "alarm", "near_clusters"]
