"""The table of every function; in the same place of all rounds of a loop one of the same kind and size."""

from __future__ import annotations

from collections.abc import Sequence

from intar.quant.direct import evaluated
from intar.quant.fixed import limits
from intar.quant.formats import Format, Formats
from intar.quant.fuse import Group
from intar.quant.scheme import Scheme
from intar.quant.tables import Function, TableData, build_table


def function_tables(
    groups: Sequence[Group], formats: Formats, scheme: Scheme, alike: Sequence[Sequence[str]]
) -> dict[str, TableData]:
    """The tables of all functions that are not evaluated, by the output of their groups.

    What is `alike` has tables of one kind and size, the largest that one of them needs: rounds load as many beats.
    """
    own = {
        group.output: group
        for group in groups
        if group.function is not None and not evaluated(group.function.op, scheme)
    }
    made = {name: _build(group, formats) for name, group in own.items()}
    for same in alike:
        names = [name for name in same if name in own]
        form = max((made[name].form for name in names), default=None)
        made |= {name: _build(own[name], formats, form) for name in names if made[name].form != form}
    return made


def _build(group: Group, formats: Formats, form: tuple[bool, int] | None = None) -> TableData:
    out = formats.stored[group.output]
    source = formats.pre.get(group.pre, out)
    functions = [_between_integers(function, source, out) for function in group.functions]
    return build_table(functions, source.bits, *limits(out.bits), form)


def _between_integers(function: Function, source: Format, out: Format) -> Function:
    return lambda t: function(source.scale * (t - source.zero)) / out.scale + out.zero
