"""Each check finds the fault it is there for: one edit of the clean kernel, one kind of finding."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("clang.cindex", reason="the extra `lint` is not installed")

from intar.codegen.lint import CHECKS, lint_project

FIXTURES = Path(__file__).parent / "fixtures"
BUFFERS = {"x": 4, "w0": 512, "w1": 256, "y": 2}

MAC = "            beat_t weights = w.read();\n            for (int l"
LOAD_X = "        out.write(x[i]);"
REGION = "    load_x(x, s_x);\n"
STORE = "    store_y(s_y, y);\n"
HEAD = "#pragma HLS INLINE off\n    int8_t row[INPUTS];"

# what it is, old text, new text, check, part of the message
FAULTS: list[tuple[str, str, str, str, str]] = [
    ("syntax", "int8_t row[INPUTS];", "int8_t row[INPUTS]", "parse", "expected ';'"),
    (
        "pragma-name",
        "#pragma HLS PIPELINE off",
        "#pragma HLS PIPELINES off",
        "grammar",
        "no HLS pragma PIPELINES",
    ),
    ("option-name", "factor=16 dim=1", "factr=16 dim=1", "grammar", "no option 'factr'"),
    ("option-value", "II=1 style=flp", "II=1 style=flush", "grammar", "'style' can't be 'flush'"),
    ("option-missing", "min=2 max=2", "min=2", "grammar", "'max' is missing"),
    ("option-twice", "min=2 max=2", "max=2 max=2", "grammar", "given twice"),
    (
        "exclusive",
        "#pragma HLS PIPELINE off",
        "#pragma HLS PIPELINE off II=2",
        "grammar",
        "exclude each other",
    ),
    ("deprecated", "#pragma HLS INLINE off", "#pragma HLS RESOURCE variable=row", "grammar", "deprecated"),
    (
        "mode-first",
        "mode=m_axi port=x bundle",
        "port=x mode=m_axi bundle",
        "grammar",
        "does not begin with its mode",
    ),
    ("outside", "void load_w0", "#pragma HLS INLINE\nvoid load_w0", "scope", "outside of any function"),
    ("undeclared", "variable=row", "variable=rows", "scope", "does not declare"),
    ("dimension", "factor=16 dim=1", "factor=16 dim=2", "scope", "there is no dim=2"),
    ("divides", "factor=16 dim=1", "factor=24 dim=1", "scope", "does not divide dimension 1"),
    ("late", LOAD_X, LOAD_X + "\n#pragma HLS LOOP_TRIPCOUNT max=4", "scope", "does not stand first"),
    (
        "no-m-axi",
        "mode=m_axi port=y bundle=gmem3",
        "mode=s_axilite port=scale bundle=control //",
        "interface",
        "'y' has no",
    ),
    ("no-scalar", "mode=s_axilite port=scale", "mode=s_axilite port=y //", "interface", "'scale' has no"),
    (
        "no-chain",
        "mode=ap_ctrl_chain",
        "mode=ap_ctrl_hs",
        "interface",
        "'return' has no INTERFACE mode=ap_ctrl_chain",
    ),
    ("depth", "depth=512", "depth=511", "interface", "its buffer has 512"),
    ("bundle", "bundle=gmem1", "bundle=gmem0", "interface", "share the bundle"),
    ("region-if", REGION, "    if (scale > 0) load_x(x, s_x);\n", "dataflow", "no call"),
    (
        "region-variable",
        REGION,
        "    int twice = 2 * scale;\n" + REGION,
        "dataflow",
        "neither a stream nor a task",
    ),
    ("region-argument", "send_scale(scale, s_", "send_scale(scale + 1, s_", "dataflow", "is an expression"),
    ("returns", "void store_y(hls", "int store_y(hls", "dataflow", "returns a value"),
    (
        "no-reader",
        "t_core1(core1, s_hidden, s_w1,",
        "t_core1(core1, s_hidden, s_w0,",
        "stream",
        "'s_w1' has no reader",
    ),
    (
        "two-readers",
        "t_core1(core1, s_hidden, s_w1,",
        "t_core1(core1, s_hidden, s_w0,",
        "stream",
        "has 2 readers",
    ),
    ("no-depth", "hls::stream<beat_t, 2> s_y", "hls::stream<beat_t> s_y", "stream", "no depth"),
    ("static", "    int8_t row[INPUTS];", "    static int8_t row[INPUTS];", "task", "static and not const"),
    ("new", HEAD, HEAD + "\n    int8_t* heap = new int8_t[4];\n    delete[] heap;", "language", "uses new"),
    ("printf", HEAD, HEAD + '\n    printf("here");', "language", "printf"),
    (
        "pointer-cast",
        HEAD,
        HEAD + "\n    int32_t* wide = (int32_t*)row;",
        "language",
        "cast between pointers",
    ),
    (
        "float",
        "acc[l] += row[k] * weights[l];",
        "acc[l] += row[k] * (weights[l] * 0.5f);",
        "arithmetic",
        "floating point",
    ),
    ("divide", "factor, 9)", "factor / 3, 9)", "arithmetic", "no power of two"),
    ("variable-divide", "factor, 9)", "4 / factor, 9)", "arithmetic", "variable divisor"),
    ("empty", MAC, "            if (w.empty()) acc[0] = 0;\n" + MAC, "blocking", "calls empty()"),
    (
        "non-blocking",
        MAC,
        "            beat_t spare;\n            w.read_nb(spare);\n" + MAC,
        "blocking",
        "calls read_nb()",
    ),
    ("task-scalar", "t_core0(core0, s_x,", "t_core0(core0, scale,", "task", "is no stream"),
    (
        "task-twice",
        "t_core1(core1, s_hidden, s_w1, s_scale",
        "t_extra(core0, s_y, s_w1, s_y);\n    hls_thread_local hls::task t_core1(core1, s_hidden, s_w1, s_scale",
        "task",
        "used by two tasks",
    ),
    ("order", REGION, STORE + REGION, "dataflow", "stands before its writer"),
    ("recursion", HEAD, HEAD + "\n    core0(x, w, hidden);", "language", "recursive"),
    ("break", MAC, "            if (k == 5) break;\n" + MAC, "loop", "break leaves"),
    (
        "while",
        "    hidden.write(result);",
        "    while (acc[0] > 0) acc[0] -= 1;\n    hidden.write(result);",
        "loop",
        "not of the form",
    ),
    ("tripcount", "k < INPUTS; ++k", "k < acc[0]; ++k", "loop", "no LOOP_TRIPCOUNT"),
    (
        "inner-loop",
        "t < OUTPUTS / LANES; ++t) {\n#pragma HLS PIPELINE II=1 style=flp\n#pragma",
        "t < OUTPUTS / LANES; ++t) {\n#pragma HLS PIPELINE II=1 style=flp\n"
        "            for (int j = 0; j < factor; ++j) acc[0][0] += j;\n#pragma",
        "loop",
        "no constant trip count",
    ),
    ("gather", LOAD_X, "        out.write(x[3 * i]);", "memory-port", "is not the loop's counter"),
    ("conditional", LOAD_X, "        if (i > 1) out.write(x[i]);", "memory-port", "under a condition"),
    (
        "read-write",
        "        y[i] = in.read();",
        "        y[i] = in.read() + y[i];",
        "memory-port",
        "both reads and writes",
    ),
    ("banks", "type=cyclic factor=16 dim=1", "type=cyclic factor=4 dim=1", "bank", "8 ports"),
    (
        "read-modify-write",
        "variable=acc type=complete dim=0",
        "variable=acc type=complete dim=2",
        "bank",
        "reads and writes 'acc'",
    ),
    ("unwritten", "row[b * LANES + l] = beat[l];", "acc[l] = beat[l];", "bank", "never written"),
    (
        "flushable",
        "II=1 style=flp\n        beat_t result;",
        "II=1\n        x_copy(y, scale);\n        beat_t result;",
        "flushable",
        "without style=flp",
    ),
    (
        "bind-op",
        HEAD,
        HEAD.replace("\n", "\n#pragma HLS BIND_OP variable=row op=mul impl=dsp\n", 1),
        "dsp",
        "BIND_OP",
    ),
    ("stack", "int8_t row[INPUTS];", "int8_t row[INPUTS];\n    int8_t spare[7 << 20];", "stack", "7340"),
]

# edits that a fault needs beside its own, so that the file still compiles
ALSO = {
    "printf": [('#include "two_core.h"', '#include <stdio.h>\n#include "two_core.h"')],
    "returns": [("        y[i] = in.read();\n    }", "        y[i] = in.read();\n    }\n    return 0;")],
    "flushable": [
        (
            "void core1(",
            "static void x_copy(hls::stream<beat_t>& y, hls::stream<int32_t>& s) {\n"
            "    if (s.read() > 5) y.write(beat_t(0));\n}\n\nvoid core1(",
        )
    ],
}
HEADER = {"returns": [("void store_y", "int store_y")]}


def seeded(name: str, old: str, new: str, folder: Path) -> Path:
    """The clean kernel with one fault, written to `folder`."""
    for file, edits in (
        ("two_core.h", HEADER.get(name, [])),
        ("two_core.cpp", [*ALSO.get(name, []), (old, new)]),
    ):
        text = (FIXTURES / file).read_text()
        for before, after in edits:
            assert before in text, f"the fixture has no longer: {before}"
            text = text.replace(before, after, 1)
        (folder / file).write_text(text)
    return folder / "two_core.cpp"


@pytest.mark.parametrize(
    ("name", "old", "new", "check", "message"), FAULTS, ids=[fault[0] for fault in FAULTS]
)
def test_fault_is_found(name: str, old: str, new: str, check: str, message: str, tmp_path: Path) -> None:
    findings = lint_project([seeded(name, old, new, tmp_path)], "two_core", [], BUFFERS)
    assert [f for f in findings if f.check == check and message in f.message and f.line > 0], [
        str(f) for f in findings
    ]


def test_every_check_has_a_fault() -> None:
    assert {fault[3] for fault in FAULTS} == set(CHECKS)
