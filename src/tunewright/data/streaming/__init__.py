"""Clean, deduplicate and divide files of millions of rows in bounded memory: the same stages, over batches and columns."""

from tunewright.data.streaming.running import Streamed, stream

__all__ = ["Streamed", "stream"]
