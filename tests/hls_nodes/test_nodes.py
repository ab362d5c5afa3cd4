"""Every node function of hls/*.h computes what docs/program.md says: random programs against the plain model."""

from __future__ import annotations

import pytest
from engine_programs import RANDOM
from hls_cases import assert_equal, expected_outputs, joined, prepared, random_cases

from intar.codegen.hls import render_hls
from intar.verify.csim import run_csim

WARNINGS = ("-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas", "-Wno-unused-label", "-O1")


def test_random_programs_equal_the_model() -> None:
    """A few of every kind in one kernel, two inferences."""
    program, images = joined([case for kind in sorted(RANDOM) for case in random_cases(kind, 3)])
    expected = expected_outputs(program, images)
    inputs = {name: [data, data] for name, data in images.items()}
    found = run_csim(render_hls(prepared(program), images=images), program, {}, inputs, flags=WARNINGS)
    assert_equal(found, expected, inferences=2)


@pytest.mark.full
@pytest.mark.parametrize("start", [100, 200, 300])
@pytest.mark.parametrize("kind", sorted(RANDOM))
def test_more_random_programs(kind: str, start: int) -> None:
    program, images = joined(random_cases(kind, 12, start))
    expected = expected_outputs(program, images)
    inputs = {name: [data] for name, data in images.items()}
    found = run_csim(render_hls(prepared(program), images=images), program, {}, inputs, flags=WARNINGS)
    assert_equal(found, expected)
