"""Cycles of a graph that should have none, named so that a user can cut them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from intar.errors import Finding


def rings(needs: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Cycles without a common node, one at least of every set of nodes that need each other.

    Parameters
    ----------
    needs : the nodes whose results each node reads; names that are no key are passed over.

    Returns
    -------
    Of each cycle its nodes in the order of the data, the node first that the cycle was first met at.
    """
    found: list[list[str]] = []
    taken: set[str] = set()
    done: set[str] = set()
    for root in needs:
        path: dict[str, Iterator[str]] = {} if root in done else {root: iter(needs[root])}
        while path:
            node = next(reversed(path))
            for name in path[node]:
                if name in path:
                    walk = list(path)
                    ring = walk[walk.index(name) :]
                    if taken.isdisjoint(ring):
                        found.append([ring[0], *ring[:0:-1]])
                        taken.update(ring)
                elif name in needs and name not in done:
                    path[name] = iter(needs[name])
                    break
            else:
                done.add(node)
                del path[node]
    return found


def cycle_finding(ring: list[str], where: str, what: str = "tasks") -> Finding:
    """What a user is told about a cycle of tasks (or nodes: `what`) at the place `where`."""
    return Finding(
        f"the {what} form a cycle: {' → '.join([*ring, ring[0]])}",
        where,
        f"each {what[:-1]} would wait for its own result",
        "cut the cycle; recurrent networks have to be unrolled",
    )
