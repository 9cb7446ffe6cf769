"""The last so many ids of a stream."""

import collections


class Remembered:
    """The last `size` things that were added, in their order; asked about one in constant time."""

    def __init__(self, size: int):
        self.size, self._order, self._known = size, collections.deque(), set()

    def add(self, one) -> None:
        """One more; the oldest is let go."""
        self._order.append(one)
        self._known.add(one)
        if len(self._order) > self.size:
            self._known.discard(self._order.popleft())

    def __contains__(self, one) -> bool:
        return one in self._known

    def __iter__(self):
        return iter(self._order)
