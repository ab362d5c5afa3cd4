"""Values that the HLS templates are given: functions, ROM tables, streams and local memories of a node."""

from __future__ import annotations

from dataclasses import dataclass

from intar.ir.nodes.movers import Router


@dataclass(frozen=True)
class Row:
    """One line of a ROM: its C++ initialiser and what it is for."""

    values: str
    note: str = ""


@dataclass(frozen=True)
class Rom:
    """A constant table ``static const type name[]``; `columns` names the fields for the reader.

    `parts`: of a list of which each segment plays a part, the first row and the one after the last of each; with `by_play`
    each round of each segment plays a part.
    """

    type: str
    name: str
    columns: str
    rows: tuple[Row, ...]
    parts: tuple[tuple[int, int], ...] = ()
    by_play: bool = False


@dataclass(frozen=True)
class Port:
    """A stream parameter of a node function: `name` inside, `stream` is the top's stream, `type` its element."""

    name: str
    type: str
    stream: str


@dataclass(frozen=True)
class Local:
    """An array in a node function; `pragmas` follow its declaration. `type` and `shape` as in ``type name shape``. One of
    constants has its rows in the file `rows`.
    """

    type: str
    name: str
    shape: str
    pragmas: tuple[str, ...] = ()
    rows: str = ""


@dataclass(frozen=True)
class Pointer:
    """The memory parameter of a control-driven function."""

    type: str
    argument: str


@dataclass(frozen=True)
class Function:
    """One C++ function: `role` is ``load``, ``task`` or ``store``; the body calls `callee` with `arguments`. Control-driven
    ones take `scalars`, numbers of the call; to a task of a program with entries the number of the one to perform comes in
    through `entry`, to one that depends on it the call's position through `placed`.

    A router's body is a loop of its own over `beats` beats from step `first` on (expressions).
    """

    name: str
    role: str
    node: str
    about: str
    ports: tuple[Port, ...]
    callee: str
    arguments: tuple[str, ...]
    locals: tuple[Local, ...] = ()
    pointer: Pointer | None = None
    scalars: tuple[str, ...] = ()
    entry: Port | None = None
    placed: Port | None = None
    router: Router | None = None
    first: str = ""
    beats: str = ""


@dataclass(frozen=True)
class Stream:
    """A FIFO of the top function."""

    name: str
    type: str
    depth: int
    about: str


@dataclass(frozen=True)
class NodeView:
    """All that one node becomes in C++."""

    name: str
    kind: str
    roms: tuple[Rom, ...]
    functions: tuple[Function, ...]
    streams: tuple[Stream, ...] = ()


def beat_type(lanes: int, bits: int) -> str:
    """C++ type of a beat."""
    return f"intar::beat<{lanes}, {bits}>"
