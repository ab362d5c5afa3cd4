"""The program interpreter: executes a Program bit-exactly with bounded FIFOs and counts its cycles."""

from intar.engine.merge import plan_merged
from intar.engine.result import Deadlock, EngineResult, LinkUse, NodeCycles, Span, Stuck
from intar.engine.run import LONGEST_RUN, run
from intar.engine.sizing import FifoAdvice, size_fifos
from intar.engine.timing import RTL, STRICT, MemoryModel, Timing

__all__ = [
    "LONGEST_RUN",
    "RTL",
    "STRICT",
    "Deadlock",
    "EngineResult",
    "FifoAdvice",
    "LinkUse",
    "MemoryModel",
    "NodeCycles",
    "Span",
    "Stuck",
    "Timing",
    "plan_merged",
    "run",
    "size_fifos",
]
