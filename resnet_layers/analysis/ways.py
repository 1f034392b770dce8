"""The longest way through a network, and what leaves it and comes back."""

from collections.abc import Iterator

from resnet_layers.networks.operations import IMAGE, WEIGHTED, Walk


class Ways:
    """Ways through the operations of a network.

    Args:
        walk: The operations.
    """

    def __init__(self, walk: Walk) -> None:
        self.walk = walk
        self.sources = {IMAGE} | {i for i, o in enumerate(walk) if o.kind == "input"}
        # Layers with weights, then operations, on the longest way to each output.
        self.length: dict[int, tuple[int, int]] = dict.fromkeys(self.sources, (0, 0))
        for i, operation in enumerate(walk):
            if i not in self.sources:
                weighted, all_of_them = self.length[self._before(i)]
                self.length[i] = (weighted + (operation.kind in WEIGHTED), all_of_them + 1)
        ends = walk.outputs or (len(walk.operations) - 1,)
        back = self._back(max(ends, key=self.length.__getitem__), self.sources)
        self.source, *self.main = back[::-1]

    def branches(self, i: int) -> Iterator[list[int]]:
        """The ways to the other inputs of an operation, from where they leave the longest one.

        The first of each is where it leaves; what comes from another image leaves nowhere, and is
        left out.
        """
        reads = list(self._reads(i))
        reads.remove(self._before(i))
        on_it = {self.source, *self.main}
        for index in reads:
            way = self._back(index, on_it | self.sources)[::-1]
            if way[0] in on_it:
                yield way

    def gate(self, i: int) -> set[int]:
        """What makes the numbers that an operation weighs a map by."""
        on_it = {self.source, *self.main} | self.sources
        found: set[int] = set()
        todo = [index for index in self.walk.operations[i].inputs if index not in self._reads(i)]
        while todo:
            index = todo.pop()
            if index not in on_it and index not in found:
                found.add(index)
                todo += self.walk.operations[index].inputs
        return found

    def _reads(self, i: int) -> tuple[int, ...]:
        """What an operation passes on: of a product, not what a map is weighed by."""
        operation = self.walk.operations[i]
        if operation.kind != "product":
            return operation.inputs or (IMAGE,)
        largest = max(map(self.walk.elements, operation.inputs))
        return tuple(i for i in operation.inputs if self.walk.elements(i) == largest)

    def _before(self, i: int) -> int:
        return max(self._reads(i), key=self.length.__getitem__)

    def _back(self, i: int, until: set[int]) -> list[int]:
        """From an operation to the first one of a set, both included."""
        found = [i]
        while found[-1] not in until:
            found.append(self._before(found[-1]))
        return found
