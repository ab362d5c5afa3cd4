"""Budgets: what a user fixes of the machine; everything else is chosen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import get_args

from intar.device.boards import Board, find_board, suggest
from intar.errors import ConfigError, Finding
from intar.ir.packing import array_blocks, products_at_once
from intar.ir.schedule import Where

ALIASES = {"clock": "clock_mhz", "onchip": "onchip_bytes", "memory": "onchip_bytes"}

CORES = 63
"""Cores at most: a router has 128 outputs, and a tensor may go to all cores and to what stands before states' ports."""

REAL = ("clock_mhz", "efficiency")
"""Options that need not be whole numbers."""

WORDS = {"weights": get_args(Where)}
"""Options that are words, and which."""


@dataclass(frozen=True)
class Budget:
    """Overrides; None means: choose.

    `multipliers` are multiply-accumulates a cycle of all arrays, `dsp` the DSP blocks that make them: as many, or fewer
    where a block makes several (`intar.ir.packing`). `depth`: channels that a cell multiplies a cycle (1 if not given).
    `ports` are weight ports, one a core; `inputs` and `outputs` ports for those, `states` ports that read states for
    products. `divisions`: rows of a softmax that are divided at a time. `row_units`: rows nodes, for softmaxes that run side
    by side. `efficiency`: what a memory channel gives of its share of the board's bandwidth; unless it is given, a port gets
    a word a cycle. `weights`: ``memory`` (if not given) or ``chip``, where weights, parameters and functions are. `kernels`:
    bytes of weights of convolutions on each core, which pass through a ring of them; if not given, all of them stay where
    they fit.
    """

    multipliers: int | None = None
    dsp: int | None = None
    cores: int | None = None
    rows: int | None = None
    lanes: int | None = None
    depth: int | None = None
    rate: int | None = None
    ports: int | None = None
    port_bits: int | None = None
    onchip_bytes: int | None = None
    clock_mhz: float | None = None
    latency: int | None = None
    inputs: int | None = None
    outputs: int | None = None
    states: int | None = None
    efficiency: float | None = None
    divisions: int | None = None
    row_units: int | None = None
    weights: Where | None = None
    kernels: int | None = None

    @staticmethod
    def parse(options: Mapping[str, object]) -> Budget:
        """From ``{"dsp": 32, "lanes": "16", "onchip": "512K", …}``; ConfigError with all that is wrong."""
        if not isinstance(options, Mapping):
            hint = 'write for example {"dsp": 32, "onchip": "512K"}'
            raise ConfigError(
                Finding(f"{options!r} is no mapping of options to numbers", "budget", hint=hint)
            )
        names = {field.name for field in fields(Budget)}
        values: dict[str, int | float | str] = {}
        findings = []
        for key, raw in options.items():
            name = ALIASES.get(key, key)
            if name not in names:
                hint = suggest(key, names | set(ALIASES))
                findings.append(Finding(f"there is no budget {key!r}", f"budget {key}={raw}", hint=hint))
                continue
            if name in WORDS:
                if raw not in WORDS[name]:
                    hint = f"write {key}={' or '.join(WORDS[name])}"
                    findings.append(
                        Finding(f"{raw!r} is no place for weights", f"budget {key}={raw}", hint=hint)
                    )
                elif name in values:
                    hint = "keep one of the two"
                    findings.append(Finding(f"{name} is given twice", f"budget {key}={raw}", hint=hint))
                values[name] = str(raw)
                continue
            value = _number(raw)
            if value is None or value <= 0 or (name not in REAL and value != int(value)):
                what = f"{raw!r} is not a positive {'number' if name in REAL else 'whole number'}"
                hint = "write for example 32, or 512K and 2M for bytes"
                findings.append(Finding(what, f"budget {key}={raw}", hint=hint))
            elif name in values:
                findings.append(
                    Finding(f"{name} is given twice", f"budget {key}={raw}", hint="keep one of the two")
                )
            else:
                values[name] = value if name in REAL else int(value)
        if findings:
            raise ConfigError(findings)
        return Budget(**values)  # type: ignore[arg-type]


def _number(raw: object) -> float | None:
    if isinstance(raw, bool):
        return None
    if isinstance(raw, (int, float)):
        return float(raw)
    text, scale = str(raw).strip(), 1
    for suffix, factor in (("K", 1 << 10), ("M", 1 << 20), ("G", 1 << 30)):
        if text.upper().endswith(suffix):
            text, scale = text[:-1], factor
    try:
        return float(text) * scale
    except ValueError:
        return None


def divisors(value: int) -> list[int]:
    """What divides a number, ascending."""
    return [part for part in range(1, value + 1) if value % part == 0]


def whole_slice(lanes: int, rate: int) -> int:
    """The most vector lanes within `rate` that divide `lanes`."""
    return max(part for part in divisors(lanes) if part <= rate)


def _power_of_two(value: int) -> bool:
    return value & (value - 1) == 0


def _mistakes(board: Board, budget: Budget) -> Iterator[Finding]:
    """Everything that is wrong with a budget on a board."""
    if budget.kernels is not None and budget.weights == "chip":
        yield Finding(
            "a ring for kernels, and all weights on chip", "budget kernels", "what is always there passes through nothing",
            "leave out one of the two",
        )  # fmt: skip
    if budget.port_bits is not None and not _power_of_two(budget.port_bits):
        near = 1 << (budget.port_bits.bit_length() - 1)
        yield Finding(
            f"{budget.port_bits} is not a power of two", "budget port_bits", "AXI has no other widths",
            f"take {near} or {2 * near}",
        )  # fmt: skip
    if budget.rate and budget.lanes and budget.rate < budget.lanes and budget.lanes % budget.rate:
        near = whole_slice(budget.lanes, budget.rate)
        yield Finding(
            f"{budget.rate} vector lanes do not divide {budget.lanes} lanes", "budget rate",
            "a vector unit takes a beat in equal slices", f"take {near}",
        )  # fmt: skip
    if (
        budget.port_bits is not None
        and _power_of_two(budget.port_bits)
        and not 32 <= budget.port_bits <= 1024
    ):
        yield Finding(
            f"a port of {budget.port_bits} bits",
            "budget port_bits",
            "AXI has 32 to 1024",
            "take 32 to 1024 bits",
        )
    for small in ("rows", "rate"):
        value = getattr(budget, small)
        if value is not None and budget.lanes is not None and value > budget.lanes:
            why = "a feed fills a block of rows while it empties the last one" if small == "rows" else ""
            yield Finding(
                f"{value} {small} with {budget.lanes} lanes",
                f"budget {small}",
                why,
                f"take at most {budget.lanes}",
            )
    if budget.efficiency is not None and budget.efficiency > 1:
        yield Finding(
            f"an efficiency of {budget.efficiency}", "budget efficiency", "a channel gives no more than it has",
            "take at most 1",
        )  # fmt: skip
    if budget.cores is not None and budget.cores > CORES:
        yield Finding(
            f"{budget.cores} cores",
            "budget cores",
            "one buffer feeds all of them",
            f"take at most {CORES}",
        )
    if budget.ports is not None and budget.cores is not None and budget.ports != budget.cores:
        yield Finding(
            f"{budget.ports} weight ports for {budget.cores} cores", "budget ports",
            "every core has a weight port of its own", "leave `ports` out, or make both equal",
        )  # fmt: skip
    if budget.depth and budget.lanes and budget.lanes % budget.depth:
        yield Finding(
            f"a depth of {budget.depth} does not divide {budget.lanes} lanes", "budget depth",
            "a feed sends a beat of a row in equal parts", f"take {whole_slice(budget.lanes, budget.depth)}",
        )  # fmt: skip
    have = (budget.cores or 1) * (budget.rows or 1) * (budget.lanes or 1) * (budget.depth or 1)
    if budget.multipliers is not None and have > budget.multipliers:
        yield Finding(
            f"cores, rows and lanes make {have} multipliers, more than the {budget.multipliers} allowed",
            "budget multipliers", hint=f"raise it to {have}, or ask for fewer cores, rows or lanes",
        )  # fmt: skip
    if budget.dsp is not None and budget.dsp > board.dsp:
        yield Finding(
            f"{budget.dsp} DSPs, and {board.name} has {board.dsp} DSPs", "budget dsp",
            hint=f"take at most {board.dsp}, or a larger device",
        )  # fmt: skip
    yield from overdrawn(board, budget, 4, 4)
    if budget.onchip_bytes is not None and budget.onchip_bytes > board.onchip_bytes:
        yield Finding(
            f"{budget.onchip_bytes} bytes on chip, and {board.name} has {board.onchip_bytes}", "budget onchip",
            "block memories of the part", f"take at most {board.onchip_bytes}, or a larger device",
        )  # fmt: skip


def overdrawn(board: Board, budget: Budget, a_bits: int, w_bits: int) -> Iterator[Finding]:
    """Arrays of operands of so many bits that take more DSPs than there are."""
    pack = products_at_once(a_bits, w_bits, board.multiplier)
    why = f"a DSP makes {pack} product{'s' if pack > 1 else ''} of {a_bits} by {w_bits} bits a cycle"
    most = min(budget.dsp or board.dsp, board.dsp)
    cells = (budget.rows or 1) * (budget.depth or 1)
    arrays = array_blocks(budget.cores or 1, cells, budget.lanes or 1, pack)
    if arrays > most:
        shape = f"{budget.cores or 1} x {cells} x {budget.lanes or 1} (cores, rows, lanes)"
        yield Finding(
            f"{shape} take {arrays} DSPs, more than the {most} "
            + ("allowed" if most < board.dsp else f"that {board.name} has"),
            "budget dsp" if budget.dsp else "budget", why, "ask for fewer cores, rows or lanes",
        )  # fmt: skip
    if budget.multipliers and -(-budget.multipliers // pack) > board.dsp:
        yield Finding(
            f"{budget.multipliers} multipliers, and {board.name} has {board.dsp} DSPs", "budget multipliers",
            why, f"take at most {board.dsp * pack}, or a larger device",
        )  # fmt: skip


def read_budget(board: Board | str, budget: Budget | Mapping[str, object] | None) -> tuple[Board, Budget]:
    """Board and budget, checked as far as no network is needed for it.

    Raises
    ------
    ConfigError : unknown board or option, or a budget that contradicts itself or exceeds the board; lists everything.
    """
    if not isinstance(board, Board):
        board = find_board(board)
    if budget is None:
        budget = Budget()
    elif not isinstance(budget, Budget):
        budget = Budget.parse(budget)
    if findings := list(_mistakes(board, budget)):
        raise ConfigError(findings)
    return board, budget
