"""Safe identifiers from names that nobody can trust.

Names of tensors and tasks come from model files.  They end up in C++, SystemVerilog, Tcl, shell commands and
paths, so none of them goes through unchanged: each becomes a unique ``[a-z][a-z0-9_]*`` that is a keyword
nowhere.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Container, Iterable

MAX_LENGTH = 48
"""Longest identifier, characters; room for prefixes and suffixes within every tool's limits."""

SAFE = re.compile(r"[a-z][a-z0-9_]*\Z")

_CPP = """
alignas alignof and and_eq asm atomic_cancel atomic_commit atomic_noexcept auto bitand bitor bool break case
catch char char8_t char16_t char32_t class co_await co_return co_yield compl concept const const_cast
consteval constexpr constinit continue decltype default delete do double dynamic_cast else enum explicit
export extern false final float for friend goto hls if import inline int int16_t int32_t int64_t int8_t long
main module mutable namespace new noexcept not not_eq nullptr operator or or_eq override private protected
public reflexpr register reinterpret_cast requires restrict return short signed size_t sizeof static
static_assert static_cast std struct switch synchronized template this thread_local throw true try typedef
typeid typename uint16_t uint32_t uint64_t uint8_t union unsigned using virtual void volatile wchar_t while
xor xor_eq
"""
_VERILOG = """
accept_on alias always always_comb always_ff always_latch and assert assign assume automatic before begin bind
bins binsof bit break buf bufif0 bufif1 byte case casex casez cell chandle checker class clocking cmos config
const constraint context continue cover covergroup coverpoint cross deassign default defparam design disable
dist do edge else end endcase endchecker endclass endclocking endconfig endfunction endgenerate endgroup
endinterface endmodule endpackage endprimitive endprogram endproperty endsequence endspecify endtable endtask
enum event eventually expect export extends extern final first_match for force foreach forever fork forkjoin
function generate genvar global highz0 highz1 if iff ifnone ignore_bins illegal_bins implements implies import
incdir include initial inout input inside instance int integer interconnect interface intersect join join_any
join_none large let liblist library local localparam logic longint macromodule matches medium modport module
nand negedge nettype new nexttime nmos nor noshowcancelled not notif0 notif1 null or output package packed
parameter pmos posedge primitive priority program property protected pull0 pull1 pulldown pullup
pulsestyle_ondetect pulsestyle_onevent pure rand randc randcase randsequence rcmos real realtime ref reg
reject_on release repeat restrict return rnmos rpmos rtran rtranif0 rtranif1 s_always s_eventually s_nexttime
s_until s_until_with scalared sequence shortint shortreal showcancelled signed small soft solve specify
specparam static string strong strong0 strong1 struct super supply0 supply1 sync_accept_on sync_reject_on
table tagged task this throughout time timeprecision timeunit tran tranif0 tranif1 tri tri0 tri1 triand trior
trireg type typedef union unique unique0 unsigned until until_with untyped use uwire var vectored virtual void
wait wait_order wand weak weak0 weak1 while wildcard wire with within wor xnor xor
"""
_TCL_AND_OTHERS = """
after append apply array catch cd close concat exec exit expr eval file foreach glob incr info interp lappend
lindex list llength open proc puts pwd rename set source split subst trace unset uplevel upvar variable vwait
as async await def del elif except from in is lambda none nonlocal pass raise yield print self
entity architecture signal port process component con prn aux nul
clk rst ap_clk ap_rst_n interrupt inputs outputs weights scratch
"""
RESERVED = frozenset(f"{_CPP} {_VERILOG} {_TCL_AND_OTHERS}".split())
"""Words with a meaning of their own in a language that we generate or in a file system."""


def sanitise(names: Iterable[str]) -> dict[str, str]:
    """Map each name to a safe identifier of its own.

    The map is deterministic and injective; a name that is safe already stays as it is, whatever the others
    are. Case, Unicode and punctuation are folded; what becomes too long keeps its head and gets a digest;
    collisions get ``_2``, ``_3``, … in the order of first appearance.

    Parameters
    ----------
    names : any strings; repetitions are allowed and get the same identifier.

    Returns
    -------
    dict from each given name to its identifier, in the order given.
    """
    unique = list(dict.fromkeys(names))
    taken = {name for name in unique if is_safe(name)}
    result: dict[str, str] = {}
    for name in unique:
        if is_safe(name):
            result[name] = name
            continue
        stem = _stem(name)
        candidate, count = stem, 1
        while candidate in taken:
            count += 1
            candidate = f"{stem[: MAX_LENGTH - len(str(count)) - 1].rstrip('_')}_{count}"
        taken.add(candidate)
        result[name] = candidate
    return result


def free_name(name: str, taken: Container[str]) -> str:
    """`name`, or the first of ``name.2``, ``name.3``, … that is not taken."""
    candidate, count = name, 1
    while candidate in taken:
        count += 1
        candidate = f"{name}.{count}"
    return candidate


def is_safe(name: str) -> bool:
    """Whether `name` can be used as it is in every generated language."""
    return (
        bool(SAFE.match(name))
        and "__" not in name
        and not name.endswith("_")
        and (len(name) <= MAX_LENGTH and name not in RESERVED)
    )


def _stem(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    stem = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")
    if not stem:
        stem = "unnamed"
    if stem[0].isdigit():
        stem = f"n{stem}"
    if len(stem) > MAX_LENGTH:
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        stem = f"{stem[: MAX_LENGTH - 9].rstrip('_')}_{digest}"
    if stem in RESERVED:
        stem = f"{stem}_x"
    return stem
