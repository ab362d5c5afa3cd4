"""Cycles of reference designs, pattern by pattern, on the same multipliers and ports, from RTL simulation.

Results are kept in one file a group of designs. A row is written as soon as it is there and replaces the row of the same
design and pattern, so that a long bench can be stopped, gone on with, and run design by design, several at a time.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from intar import designs, pipeline, proof, rendering
from intar.design import Design
from intar.errors import InfeasibleError, UnsupportedError, UserError
from intar.ir.io import write_atomic
from intar.ir.schedule import Mode
from intar.proof import Check
from intar.reopen import stored_inputs
from intar.report.summary import cycle_limit
from intar.session import open_source

PATTERNS: tuple[Mode, ...] = ("auto", "intar", "sequential", "dataflow")
KEYS = ("kernel", "pattern", "multipliers", "limit", "predicted", "simulated", "published", "bit_exact")
"""What a row has. `limit`: products, or words of a port, over what does them; `published`: cycles of others' design."""

INFERENCES = 2
"""Simulated inferences, one after the other, of a design."""

LONG = 2_000_000
"""Predicted cycles from which one inference is enough."""

Row = dict[str, Any]


def rows(design: str, patterns: Sequence[Mode] = PATTERNS, *, simulate: bool = True) -> Iterator[Row]:
    """One row of KEYS for each pattern, in that order.

    `simulated` and `bit_exact` are None without `simulate`; where a pattern does not fit, so are `limit` and `predicted`.
    Patterns with the same program share one simulation.
    """
    if not patterns:
        return
    source = open_source(design)
    seen: dict[str, Check] = {}
    for pattern in patterns:
        row = dict.fromkeys(KEYS) | {
            "kernel": design,
            "pattern": pattern,
            "multipliers": source.machine.multipliers,
            "published": source.anchor.cycles if source.anchor else None,
        }
        try:
            made = pipeline.compile_quantised(source.quantised, source.machine, pattern, loops=source.loops)
        except (InfeasibleError, UnsupportedError):
            yield row
            continue
        row |= {"limit": cycle_limit(made), "predicted": made.predicted.cycles}
        if simulate:
            key = made.program.to_json()
            if key not in seen:
                seen[key] = simulated(made, INFERENCES if made.predicted.cycles < LONG else 1)
            row |= {"simulated": max(seen[key].cycles), "bit_exact": seen[key].bit_exact}
        yield row


def simulated(made: Design, inferences: int = 1) -> Check:
    """The RTL of a design on random integers."""
    with tempfile.TemporaryDirectory() as folder:
        target = rendering.project(made).write(Path(folder) / "project")
        return proof.verify_rtl(made, stored_inputs(target, made, inferences, 0), target)


def keep(
    file: Path, row: Row, place: Callable[[Row], Any], show: Callable[[Sequence[Row]], str]
) -> list[Row]:
    """Put a row into a JSON file, in the order of `place` and instead of the row that has the same; all rows, which are
    a Markdown table by `show` in the file beside it, too. Processes may share the files."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(file.parent, os.O_RDONLY)  # of the folder: the files themselves are replaced
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = [old for old in _rows_of(file) if place(old) != place(row)]
        found = sorted([*kept, row], key=place)
        write_atomic(file, (json.dumps(found, indent=1) + "\n").encode())
        write_atomic(file.with_suffix(".md"), show(found).encode())
    finally:
        os.close(lock)
    return found


def keep_all(
    rows: Iterable[Row],
    good: Callable[[Row], bool],
    file: Path,
    place: Callable[[Row], Any],
    show: Callable[[Sequence[Row]], str],
    dry: bool = False,
) -> bool:
    """Keep rows as they are made (`dry`: don't) and print the line of each; True when all of them are `good`."""
    all_good = True
    for row in rows:
        if not dry:
            keep(file, row, place, show)
        all_good &= good(row)
        print(show([row]).splitlines()[2], flush=True)
    return all_good


def bench_networks(
    what: str,
    names: Sequence[str],
    measure: Callable[[str, Namespace], Iterable[Row]],
    file: Path,
    place: Callable[[Row], Any],
    show: Callable[[Sequence[Row]], str],
) -> int:
    """Command line of a bench with rows for each of several networks, `measure` being given how many inferences run in C++
    and in RTL (``csim``, ``rtl``); the exit status is 1 where an integer is wrong, or the RTL takes other cycles than
    predicted."""
    parser = ArgumentParser(description=what.splitlines()[0])
    parser.add_argument("networks", nargs="*", help=f"of {', '.join(names)} (default: all)")
    parser.add_argument("--csim", type=int, default=0, help="inferences in C++")
    parser.add_argument("--rtl", type=int, default=0, help="inferences in RTL")
    parser.add_argument("--dry", action="store_true", help="print the rows, keep none")
    options = parser.parse_args()
    if unknown := sorted(set(options.networks) - set(names)):
        parser.error(f"no network of these: {', '.join(unknown)}")
    rows = (row for name in options.networks or names for row in measure(name, options))
    try:
        return 0 if keep_all(rows, as_predicted, file, place, show, options.dry) else 1
    except UserError as error:
        print(error, file=sys.stderr)
        return 1


def bench_model(
    what: str,
    unit: str,
    defaults: Mapping[str, Any],
    measure: Callable[[Namespace, Path], Row],
    faults: Callable[[Row], Sequence[str]],
    file: Path,
) -> int:
    """Command line of a bench of one model on real data: print what was measured, write it with ``--json``, and say what
    misses its bound.

    Parameters
    ----------
    unit : what runs in C++ and RTL, in the plural.
    defaults : of ``csim`` and ``device``, ``budget`` and ``bits``.
    measure : from the options and the folder of the project to what was found.
    """
    parser = ArgumentParser(description=what)
    parser.add_argument("--csim", type=int, help=f"{unit} through the C++ (default: {defaults['csim']})")
    parser.add_argument("--rtl", type=int, default=0, help=f"{unit} through the RTL")
    for name in ("device", "budget", "bits"):
        default = f" (default: {defaults[name]})" if name in defaults else ""
        action = "store" if name == "device" else "append"
        parser.add_argument(f"--{name}", action=action, help=f"as of intar compile{default}")
    parser.add_argument("--folder", type=Path, help="keep the project here")
    parser.add_argument("--json", action="store_true", help=f"write {file.name}")
    given = vars(parser.parse_args())
    options = Namespace(**{key: defaults.get(key) if given[key] is None else given[key] for key in given})
    with tempfile.TemporaryDirectory(prefix="intar-bench-") as scratch:
        try:
            found = measure(options, options.folder or Path(scratch) / "project")
        except UserError as error:
            print(error, file=sys.stderr)
            return 2
    return conclude(found, faults(found), file if options.json else None)


def as_predicted(row: Row) -> bool:
    """Every executor's integers are golden's, and the RTL, if it ran, took the engine's cycles."""
    return all(row["exact"].values()) and row["simulated"] in (None, row["predicted"])


def hardware_faults(found: Row) -> list[str]:
    """What is wrong with the bits and cycles of a network that ran in C++ and RTL."""
    wrong = [f"{key} is not bit-exact" for key, exact in found["bit_exact"].items() if exact is False]
    simulated, predicted = found["cycles"]["simulated"], found["cycles"]["predicted"]
    if simulated and set(simulated) != {predicted}:
        wrong.append(f"{simulated} cycles simulated, {predicted} predicted")
    return wrong


def conclude(found: Row, wrong: Sequence[str], file: Path | None) -> int:
    """Print what was measured, write it to a file if there is one, say what misses its bound; the exit status."""
    text = json.dumps(found, indent=1)
    print(text)
    if file:
        file.write_text(text + "\n")
    for fault in wrong:
        print(fault, file=sys.stderr)
    return bool(wrong)


def _rows_of(file: Path) -> list[Row]:
    return json.loads(file.read_text()) if file.exists() else []


class Results:
    """The rows of one group, in a JSON file and as a Markdown table beside it; processes may share it."""

    def __init__(self, folder: Path, group: str):
        self.file = folder / f"{group}.json"

    def rows(self) -> list[Row]:
        """What is there so far."""
        return _rows_of(self.file)

    def missing(self, design: str, patterns: Sequence[Mode]) -> list[Mode]:
        """Patterns of a design that have not been simulated yet."""
        done = {row["pattern"] for row in self.rows() if row["kernel"] == design and row["bit_exact"]}
        return [pattern for pattern in patterns if pattern not in done]

    def add(self, row: Row) -> None:
        """Put a row in its place."""
        keep(self.file, row, _place, table)


def _place(row: Row) -> tuple[str, int]:
    return row["kernel"], PATTERNS.index(row["pattern"])


def run(
    chosen: Iterable[str],
    patterns: Sequence[Mode] = PATTERNS,
    *,
    simulate: bool = True,
    folder: Path | None = None,
    resume: bool = False,
) -> Iterator[Row]:
    """Rows of several designs, each kept in `folder` as soon as it is there.

    With `resume`, rows that the folder has from a simulation before come from there.
    """
    for design in chosen:
        results = Results(folder, designs.load(design)[1].group) if folder else None
        wanted = results.missing(design, patterns) if results and resume else list(patterns)
        if results and resume:
            yield from (
                row
                for row in results.rows()
                if row["kernel"] == design and row["pattern"] in set(patterns) - set(wanted)
            )
        for row in rows(design, wanted, simulate=simulate):
            if results:
                results.add(row)
            yield row


def table(found: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| " + " | ".join(KEYS) + " |", "|" + "---|" * len(KEYS)]
    for row in found:
        cells = (_cell(row[key]) for key in KEYS)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if type(value) is int else str(value)
