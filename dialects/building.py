"""One thread builds IR at a time: xDSL's `ImplicitBuilder` changes a class of all operations while it is open."""

from __future__ import annotations

from contextlib import ContextDecorator
from threading import RLock


class _Building(ContextDecorator):
    """A lock, as a context or as a decorator; a thread may take it again."""

    def __init__(self) -> None:
        self._lock = RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


building = _Building()
