"""A function over a stream of arguments in processes beside this one, results in order, few batches in flight."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


def in_order(function: Callable[..., T], arguments: Iterable[tuple[Any, ...]], processes: int) -> Iterator[T]:
    """The results in the order of the arguments. Processes are spawned, never forked; at most twice as many wait as work."""
    if processes < 2:
        for each in arguments:
            yield function(*each)
        return
    from concurrent.futures import Future, ProcessPoolExecutor
    from multiprocessing import get_context

    waiting: deque[Future[T]] = deque()
    with ProcessPoolExecutor(processes - 1, mp_context=get_context("spawn")) as pool:
        try:
            for each in arguments:
                waiting.append(pool.submit(function, *each))
                while len(waiting) > 2 * processes or (waiting and waiting[0].done()):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
