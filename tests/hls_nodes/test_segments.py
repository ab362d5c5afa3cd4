"""Programs with segments as C++: parts of every list in their rounds, ports that move on; nothing for the linter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from engine_programs import RANDOM
from hls_cases import joined, random_cases
from looped import replayed, result, sums

from intar.codegen.hls import render_hls
from intar.engine import plan_merged, run
from intar.verify.csim import run_csim


def test_state_moves_on_from_round_to_round() -> None:
    program, images, expected = sums(5)
    program = plan_merged(program)
    inputs = {"x": [images["x"]] * 2}
    found = run_csim(render_hls(program), program, {"w": images["w"]}, inputs, flags=("-O0",))
    for output in found.outputs["y"]:
        np.testing.assert_array_equal(result({"y": output}), expected)


def test_every_kind_of_node_replays_and_rests() -> None:
    program, images = joined([case for kind in sorted(RANDOM) for case in random_cases(kind, 1, 7)])

    def plays(node: object, segment: int) -> bool:
        case = int(str(getattr(node, "name", "")).split("_")[0][1:])
        return segment == 0 or case % 3 != segment

    program = plan_merged(replayed(program, (2, 1, 2), plays))
    found = run_csim(
        render_hls(program, images=images),
        program,
        {},
        {name: [data] for name, data in images.items()},
        flags=("-O0",),
    )
    for name, data in run(program, images).outputs.items():
        assert found.outputs[name][0] == data, name


def test_kernel_with_segments_is_clean(tmp_path: Path) -> None:
    pytest.importorskip("clang.cindex", reason="the extra `lint` is not installed")
    from intar.codegen.lint import lint_project

    program = plan_merged(sums(5)[0])
    for path, data in render_hls(program).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    buffers = {argument.name: argument.words for argument in program.arguments}
    found = lint_project([tmp_path / "hls" / "kernel.cpp"], program.name, [tmp_path / "hls"], buffers)
    assert [str(finding) for finding in found] == []
