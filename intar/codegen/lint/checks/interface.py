"""Check `interface`: the top function's arguments have exactly the interfaces that the host and the test bench expect."""

from __future__ import annotations

from collections import Counter

from intar.codegen.lint import clang_ast as ast
from intar.codegen.lint.checks import Options
from intar.codegen.lint.checks.scope import integer
from intar.codegen.lint.finding import Findings
from intar.codegen.lint.functions import Function
from intar.codegen.lint.kernel import Kernel
from intar.codegen.lint.pragmas import Pragma

_HDL_TEXT = """
abs access after alias all always and architecture array assert assign attribute automatic begin bit block body
buf buffer bus byte case casex casez cell class component config configuration constant cross deassign default
defparam design disable disconnect downto edge else elsif end endcase endfunction endmodule entity event exit
expect export extends extern file final first_match for force forever fork function generate generic genvar
global group guarded if iff impure in include inertial initial inout inout input inside instance int integer
interface is join label large library linkage literal local localparam logic longint loop macromodule map medium
mod modport module nand negedge new next nor not null of on open or others out output package packed parameter
port posedge postponed primitive priority procedure process property protected pull0 pull1 pure rand range real
realtime record ref reg register reject release rem repeat report return rol ror scalared select sequence
severity shared shortint signal signed sla sll small solve specify sra srl static string strong subtype supply0
supply1 table task then this throughout time timeout to transport tri tri0 tri1 type typedef unaffected union
unique units unsigned until use uwire var variable vectored virtual void wait wand weak when while wildcard wire
with within wor xnor xor
"""
HDL_WORDS = frozenset(_HDL_TEXT.split())


def check_interface(kernel: Kernel, options: Options, findings: Findings) -> None:
    """Pragmas of pointers, scalars and the return value; bundles; names; depths."""
    top = kernel.top
    if top is None:
        return
    by_port: dict[str, list[Pragma]] = {}
    for pragma in top.pragmas:
        if pragma.name == "interface":
            by_port.setdefault(pragma.get("port"), []).append(pragma)
    parameters = {parameter.spelling: parameter for parameter in top.parameters}
    for port, pragmas in by_port.items():
        if port not in parameters and port != "return":
            findings.add(
                "interface", pragmas[0].place, f"INTERFACE names port '{port}', which is no argument"
            )
        modes = Counter(pragma.get("mode").lower() for pragma in pragmas)
        for mode in (mode for mode, count in modes.items() if count > 1):
            findings.add("interface", pragmas[-1].place, f"port '{port}' has mode={mode} twice")
    for name, parameter in parameters.items():
        if name.lower() in HDL_WORDS:
            message = f"argument '{name}' is a word of Verilog, SystemVerilog or VHDL"
            findings.add("interface", top.place, message, f"rename it; Vitis would call the port '{name}_r'")
        pragmas = by_port.get(name, [])
        if ast.is_pointer(parameter.type):
            _check_pointer(top, name, pragmas, options, findings)
        elif not ast.is_stream(parameter.type):
            _need(top, name, "s_axilite", pragmas, findings)
    for mode in ("s_axilite", "ap_ctrl_chain"):
        _need(top, "return", mode, by_port.get("return", []), findings)
    _check_bundles(top, by_port, findings)


def _need(top: Function, port: str, mode: str, pragmas: list[Pragma], findings: Findings) -> Pragma | None:
    found = next((pragma for pragma in pragmas if pragma.get("mode").lower() == mode), None)
    if found is None:
        message = f"'{port}' has no INTERFACE mode={mode}"
        extra = " bundle=gmemN offset=slave depth=ELEMENTS" if mode == "m_axi" else " bundle=control"
        findings.add(
            "interface", top.place, message, f"add `#pragma HLS INTERFACE mode={mode} port={port}{extra}`"
        )
    return found


def _check_pointer(
    top: Function, name: str, pragmas: list[Pragma], options: Options, findings: Findings
) -> None:
    _need(top, name, "s_axilite", pragmas, findings)
    port = _need(top, name, "m_axi", pragmas, findings)
    if port is None:
        return
    if port.get("offset", "slave") != "slave":
        findings.add("interface", port.place, f"'{name}' has offset={port.get('offset')}", "use offset=slave")
    expected = options.buffers.get(name)
    depth = integer(port.get("depth"), top.cursor)
    if not port.has("depth"):
        findings.add(
            "interface", port.place, f"'{name}' has no depth", "cosim needs depth=ELEMENTS of the buffer"
        )
    elif expected is not None and depth is not None and depth != expected:
        message = f"'{name}' has depth={depth}, its buffer has {expected} elements"
        findings.add(
            "interface", port.place, message, f"write depth={expected}; cosim copies that many elements"
        )


def _check_bundles(top: Function, by_port: dict[str, list[Pragma]], findings: Findings) -> None:
    users: dict[str, str] = {}
    for port, pragmas in by_port.items():
        for pragma in pragmas:
            bundle = pragma.get("bundle")
            if pragma.get("mode").lower() != "m_axi" or not bundle:
                continue
            if bundle in users:
                message = f"'{port}' and '{users[bundle]}' share the bundle '{bundle}'"
                findings.add(
                    "interface", pragma.place, message, "one bundle a pointer, or they lose their bursts"
                )
            users.setdefault(bundle, port)
