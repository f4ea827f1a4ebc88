"""Bounded hand-over between two threads: newest first served when late, or nothing lost.

capture ──put──▶ [ one slot, newest wins ] ──get──▶ inference        (live sources)
capture ──put──▶ [ one slot, put waits   ] ──get──▶ inference        (files)
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Holds at most `capacity` items, oldest out first.

    When full, `put` of a lossless mailbox waits for room; otherwise it throws the oldest item away and
    counts it in `dropped`. Closing lets the taker finish what is inside; closing with `discard` does not.
    """

    def __init__(self, capacity: int = 1, *, lossless: bool = False) -> None:
        self._changed = threading.Condition()
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._lossless = lossless
        self._closed = False
        self.dropped = 0  # thrown away before anyone took them

    def put(self, item: T) -> bool:
        """Hand one item over; False when the mailbox is closed and the item went nowhere."""
        with self._changed:
            if not self._wait_for_room():
                return False
            if len(self._items) == self._capacity:
                self._items.popleft()
                self.dropped += 1
            self._items.append(item)
            self._changed.notify_all()
            return True

    def wait_for_room(self) -> bool:
        """Wait until `put` would not wait; False when closed. Lets a producer stamp its item late."""
        with self._changed:
            return self._wait_for_room()

    def get(self) -> T | None:
        """The oldest item, waiting for one; None once closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closed)
            if not self._items:
                return None
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def close(self, *, discard: bool = False) -> None:
        """No more items; wakes everyone who waits. `discard` counts what is inside as dropped."""
        with self._changed:
            self._closed = True
            if discard:
                self.dropped += len(self._items)
                self._items.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        """Items until closed and empty."""
        while (item := self.get()) is not None:
            yield item

    def _wait_for_room(self) -> bool:
        if self._lossless:
            self._changed.wait_for(lambda: len(self._items) < self._capacity or self._closed)
        return not self._closed
