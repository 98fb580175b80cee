"""A dictionary of bounded size that threads may share."""

from __future__ import annotations

from collections.abc import Hashable
from threading import Lock
from typing import Generic, TypeVar

V = TypeVar("V")


class BoundedCache(Generic[V]):
    """Remembers up to `size` values; what was put in first goes first. Reading takes no lock."""

    def __init__(self, size: int):
        self._size = size
        self._values: dict[Hashable, V] = {}
        self._lock = Lock()

    def get(self, key: Hashable) -> V | None:
        """The value of a key, if it is remembered."""
        return self._values.get(key)

    def put(self, key: Hashable, value: V) -> None:
        """Remembers a value."""
        with self._lock:
            while len(self._values) >= self._size:
                del self._values[next(iter(self._values))]
            self._values[key] = value

    def values(self) -> list[V]:
        """All that is remembered, the oldest first."""
        with self._lock:
            return list(self._values.values())
