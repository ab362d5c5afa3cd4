"""The checks, one function each: ``check(kernel, options, findings)``; in the order of reporting."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from intar.codegen.lint.finding import Findings
from intar.codegen.lint.kernel import Kernel


@dataclass(frozen=True)
class Options:
    """What the checks need to know about the design.

    `buffers` maps a pointer argument of the top function to the elements of its buffer; `stack_bytes` bounds the local
    arrays of a task; `float_functions` may use floating point.
    """

    buffers: Mapping[str, int] = field(default_factory=dict)
    stack_bytes: int = 6 << 20
    float_functions: frozenset[str] = frozenset()


Check = Callable[[Kernel, Options, Findings], None]


def all_checks() -> tuple[Check, ...]:
    """Every check on the parsed kernel (the pragma grammar is checked on the text)."""
    from intar.codegen.lint.checks import arrays, dataflow, interface, language, loops, memory, scope

    return (
        scope.check_scope,
        interface.check_interface,
        dataflow.check_region,
        dataflow.check_streams,
        dataflow.check_tasks,
        language.check_language,
        language.check_arithmetic,
        language.check_blocking,
        loops.check_loops,
        loops.check_flushable,
        memory.check_memory_ports,
        arrays.check_banks,
        arrays.check_dsp,
        arrays.check_stack,
    )
