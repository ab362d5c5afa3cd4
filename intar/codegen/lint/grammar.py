"""Check `grammar`: names, options and values of pragmas, as a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from intar.codegen.lint.finding import Findings
from intar.codegen.lint.pragmas import Pragma

INT = "int"  # an integer literal or a named constant
NAME = "name"  # an identifier, a member or an element
FLAG = None  # no value

Values = str | tuple[str, ...] | None


@dataclass(frozen=True)
class Rule:
    """Options of one pragma: what value each takes, which must be there, which exclude each other."""

    options: Mapping[str, Values]
    required: tuple[str, ...] = ()
    exclusive: tuple[tuple[str, ...], ...] = ()


_SHAPE: dict[str, Values] = {
    "variable": NAME,
    "type": ("block", "cyclic", "complete"),
    "block": FLAG,
    "cyclic": FLAG,
    "complete": FLAG,
    "factor": INT,
    "dim": INT,
    "off": ("true", "false"),
}
_RAM = tuple(["ram_1p", "ram_1wnr", "ram_2p", "ram_s2p", "ram_t2p", "rom_1p", "rom_2p", "rom_np", "fifo"])
_RAM_IMPL = tuple(["auto", "bram", "bram_ecc", "lutram", "uram", "uram_ecc", "srl", "memory"])
_OPS = tuple(
    [
        "mul",
        "add",
        "sub",
        "fadd",
        "fsub",
        "fdiv",
        "fexp",
        "flog",
        "fmul",
        "fsqrt",
        "frsqrt",
        "frecip",
        "dadd",
        "dsub",
        "ddiv",
        "dmul",
        "dsqrt",
        "hmul",
        "hadd",
    ]
)

PRAGMAS: Mapping[str, Rule] = {
    "pipeline": Rule(
        {"ii": INT, "rewind": FLAG, "off": FLAG, "style": ("stp", "flp", "frp")},
        exclusive=(("off", "ii"), ("off", "style")),
    ),
    "unroll": Rule({"factor": INT, "skip_exit_check": FLAG, "off": ("true", "false")}),
    "array_partition": Rule(_SHAPE, ("variable",), (("block", "cyclic", "complete", "type"),)),
    "array_reshape": Rule(
        {**_SHAPE, "object": FLAG}, ("variable",), (("block", "cyclic", "complete", "type"),)
    ),
    "bind_storage": Rule(
        {"variable": NAME, "type": _RAM, "impl": _RAM_IMPL, "latency": INT}, ("variable", "type")
    ),
    "bind_op": Rule({"variable": NAME, "op": _OPS, "impl": NAME, "latency": INT}, ("variable", "op")),
    "stream": Rule(
        {"variable": NAME, "depth": INT, "type": ("fifo", "pipo", "shared", "unsync")}, ("variable",)
    ),
    "dependence": Rule(
        {
            "variable": NAME,
            "class": ("array", "pointer"),
            "type": ("inter", "intra"),
            "inter": FLAG,
            "intra": FLAG,
            "direction": ("raw", "war", "waw"),
            "raw": FLAG,
            "war": FLAG,
            "waw": FLAG,
            "distance": INT,
            "dependent": ("true", "false"),
            "true": FLAG,
            "false": FLAG,
        },
        exclusive=(("variable", "class"), ("type", "inter", "intra"), ("dependent", "true", "false")),
    ),
    "loop_tripcount": Rule({"min": INT, "max": INT, "avg": INT}, ("max",)),
    "loop_flatten": Rule({"off": ("true", "false", "")}),
    "loop_merge": Rule({"force": FLAG}),
    "dataflow": Rule({"disable_start_propagation": FLAG}),
    "stable": Rule({"variable": NAME}, ("variable",)),
    "inline": Rule({"off": FLAG, "recursive": FLAG}, exclusive=(("off", "recursive"),)),
    "latency": Rule({"min": INT, "max": INT}),
    "aggregate": Rule({"variable": NAME, "compact": ("bit", "byte", "none", "auto")}, ("variable",)),
    "disaggregate": Rule({"variable": NAME}, ("variable",)),
    "allocation": Rule(
        {"function": FLAG, "operation": FLAG, "instances": NAME, "limit": INT}, ("instances", "limit")
    ),
    "expression_balance": Rule({"off": FLAG}),
    "function_instantiate": Rule({"variable": NAME}, ("variable",)),
    "performance": Rule(
        {"target_ti": INT, "target_tl": INT, "assume_ti": INT, "assume_tl": INT, "unit": ("cycle", "sec")}
    ),
    "protocol": Rule({"mode": ("floating", "fixed")}),
    "reset": Rule({"variable": NAME, "off": FLAG}, ("variable",)),
    "occurrence": Rule({"cycle": INT, "off": FLAG}),
    "top": Rule({"name": NAME}),
    "alias": Rule({"ports": NAME, "distance": INT, "offset": NAME}, ("ports",)),
    "cache": Rule({"port": NAME, "lines": INT, "depth": INT, "ways": INT, "users": INT}, ("port",)),
}

_COMMON: dict[str, Values] = {"port": NAME, "bundle": NAME, "name": NAME}
_BURST = (
    "num_read_outstanding num_write_outstanding max_read_burst_length max_write_burst_length latency channel"
)
INTERFACES: Mapping[str, Rule] = {
    "m_axi": Rule(
        {
            **_COMMON,
            "depth": INT,
            "offset": ("slave", "direct", "off"),
            "max_widen_bitwidth": INT,
            "storage_impl": ("auto", "lutram", "bram", "uram"),
            **{option: INT for option in _BURST.split()},
        },
        ("port", "bundle"),
    ),
    "s_axilite": Rule(
        {**_COMMON, "offset": INT, "clock": NAME, "storage_impl": ("auto", "bram", "uram")}, ("port",)
    ),
    "axis": Rule(
        {**_COMMON, "register": FLAG, "register_mode": ("both", "forward", "reverse", "off"), "depth": INT},
        ("port",),
    ),
    **{name: Rule(_COMMON, ("port",)) for name in ("ap_ctrl_chain", "ap_ctrl_hs", "ap_ctrl_none")},
    **{
        name: Rule({**_COMMON, "depth": INT, "register": FLAG}, ("port",))
        for name in [
            "ap_none",
            "ap_stable",
            "ap_vld",
            "ap_ack",
            "ap_hs",
            "ap_ovld",
            "ap_fifo",
            "ap_memory",
            "bram",
        ]
    },
}

DEPRECATED: Mapping[str, str] = {
    "resource": "BIND_STORAGE or BIND_OP",
    "data_pack": "AGGREGATE",
    "array_map": "nothing; it was removed",
    "clock": "the clock of the configuration file",
    "stream dim": "an array of streams",
    "stream off": "type=pipo",
    "pipeline enable_flush": "style=flp",
    "unroll region": "a pragma in each loop",
    "interface ap_bus": "mode=m_axi",
    "stream shared": "type=shared",
}
"""What Vitis HLS no longer takes, and what stands in its place."""


def check_grammar(pragma: Pragma, findings: Findings) -> None:
    """Compare one pragma with the table."""
    title = pragma.name.upper()
    if pragma.name in DEPRECATED:
        findings.add("grammar", pragma.place, f"{title} is deprecated", f"use {DEPRECATED[pragma.name]}")
        return
    if pragma.name == "interface":
        _check_interface(pragma, findings)
    elif pragma.name in PRAGMAS:
        _check_options(pragma, title, PRAGMAS[pragma.name], pragma.options, findings)
    else:
        findings.add(
            "grammar", pragma.place, f"there is no HLS pragma {title}", _closest(pragma.name, PRAGMAS)
        )


def _check_interface(pragma: Pragma, findings: Findings) -> None:
    key, value = pragma.options[0] if pragma.options else ("", None)
    mode = (value if key.lower() == "mode" else key) or ""
    if key.lower() != "mode":
        findings.add(
            "grammar",
            pragma.place,
            "INTERFACE does not begin with its mode",
            "write `#pragma HLS INTERFACE mode=... port=...`; the front end wants the mode first",
        )
        if mode not in INTERFACES:
            return
    if f"interface {mode}" in DEPRECATED:
        findings.add(
            "grammar", pragma.place, f"mode {mode} is deprecated", f"use {DEPRECATED[f'interface {mode}']}"
        )
    elif mode not in INTERFACES:
        findings.add("grammar", pragma.place, f"INTERFACE has no mode '{mode}'", _closest(mode, INTERFACES))
    else:
        _check_options(pragma, f"INTERFACE mode={mode}", INTERFACES[mode], pragma.options[1:], findings)


def _check_options(
    pragma: Pragma, title: str, rule: Rule, options: tuple[tuple[str, str | None], ...], findings: Findings
) -> None:
    def report(message: str, hint: str = "") -> None:
        findings.add("grammar", pragma.place, f"{title}: {message}", hint)

    seen: set[str] = set()
    for written, value in options:
        key = written.lower()
        if key in seen:
            report(f"option '{key}' is given twice")
        seen.add(key)
        if f"{pragma.name} {key}" in DEPRECATED:
            report(f"option '{key}' is deprecated", f"use {DEPRECATED[f'{pragma.name} {key}']}")
        elif key not in rule.options:
            report(f"there is no option '{key}'", _closest(key, rule.options))
        else:
            _check_value(key, value, rule.options[key], report)
    for key in rule.required:
        if key not in seen:
            report(f"option '{key}' is missing")
    for group in rule.exclusive:
        both = [key for key in group if key in seen]
        if len(both) > 1:
            report(f"options {' and '.join(both)} exclude each other")


def _check_value(key: str, value: str | None, allowed: Values, report: Callable[..., None]) -> None:
    if allowed is FLAG:
        if value is not None and value.lower() not in ("true", "false"):
            report(f"option '{key}' takes no value, not '{value}'")
    elif value is None:
        if not isinstance(allowed, tuple) or "true" not in allowed:
            report(f"option '{key}' needs a value")
    elif isinstance(allowed, tuple):
        if value.lower() not in allowed:
            report(
                f"option '{key}' can't be '{value}'", "one of " + ", ".join(item for item in allowed if item)
            )
    elif allowed == INT:
        if not (value.lstrip("+-").isdigit() or value.isidentifier() or value.startswith("(")):
            report(f"option '{key}' is a whole number, not '{value}'")
    elif not all(part.isidentifier() for part in value.partition("[")[0].replace("->", ".").split(".")):
        report(f"option '{key}' is a name, not '{value}'")


def _closest(word: str, known: Mapping[str, object]) -> str:
    match = get_close_matches(word, list(known), n=1)
    return f"did you mean '{match[0]}'?" if match else "one of " + ", ".join(sorted(known))
