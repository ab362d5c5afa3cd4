"""Networks of images as taps on one grid compute the same."""

from __future__ import annotations

import re

import numpy as np
import pytest
from frontends.models import normal
from grid.image_networks import network
from hypothesis import given, settings
from hypothesis import strategies as st

from intar.errors import UnsupportedError
from intar.frontends import Builder
from intar.grid import PASSES, prepare
from intar.ir.ops import Op
from intar.ir.reference import run_float
from intar.ir.taps import groups_of
from intar.ir.taskgraph import TaskGraph
from intar.ir.validate import findings


def agree(
    graph: TaskGraph,
    inputs: dict[str, np.ndarray],
    skip: tuple[str, ...] = (),
    phases: tuple[int, int] = (1, 1),
) -> TaskGraph:
    made = prepare(graph, skip, phases)
    assert not findings(made) and prepare(made) is made
    expected, results = run_float(graph, inputs), run_float(made, inputs)
    for name in graph.outputs:
        np.testing.assert_allclose(results[name], expected[name], rtol=1e-9, atol=1e-9)
    return made


@settings(max_examples=250, deadline=None, derandomize=True)
@given(st.data())
def test_random_networks(data: st.DataObject) -> None:
    graph, shape = network(data)
    image = normal(*shape, seed=1)
    agree(graph, {"x": image})
    agree(graph, {"x": image}, tuple(PASSES))
    agree(graph, {"x": image}, (), data.draw(st.sampled_from([(2, 1), (1, 3), (9, 1), (16, 16)])))


def test_what_can_not_be_done_is_listed(golden) -> None:
    g = Builder("t")
    x, y = g.input("x", (2, 3, 8, 8)), g.input("y", (1, 3, 7, 8))
    g.output(g.conv2d(x, np.ones((1, 3, 3, 3))), g.space_to_depth(g.upsample_nearest(y, 1), 2))
    g.output(g.depth_to_space(g.conv2d(y, np.ones((4, 3, 1, 1))), 2, (13, 16)))
    with pytest.raises(UnsupportedError) as caught:
        prepare(g.build())
    golden("images_unsupported", re.sub(r"\.py:\d+", ".py", str(caught.value)))
    with pytest.raises(UnsupportedError, match="one of: upsample_phases"):
        prepare(g.build(), ["nothing"])


def kinds(graph: TaskGraph) -> list[Op]:
    return [task.op for task in graph.tasks]


def test_a_relu_goes_before_the_pool_unless_someone_else_reads_between() -> None:
    for outputs, moved in (("r",), True), (("r", "p"), False), (("r", "c"), False):
        g = Builder("t")
        c = g.conv2d(g.input("x", (1, 1, 6, 6)), normal(2, 1, 3, 3), name="c")
        g.relu(g.max_pool2d(c, 2, name="p"), name="r")
        g.output(*outputs)
        made = agree(g.build(), {"x": normal(1, 1, 6, 6)})
        order = [op for op in kinds(made) if op in (Op.TAP_MAX, Op.RELU)]
        assert order == ([Op.RELU, Op.TAP_MAX] if moved else [Op.TAP_MAX, Op.RELU])
        skipped = kinds(agree(g.build(), {"x": normal(1, 1, 6, 6)}, ("relu_before_pool",)))
        assert [op for op in skipped if op in (Op.TAP_MAX, Op.RELU)] == [Op.TAP_MAX, Op.RELU]


def test_elements_that_only_move_cost_nothing() -> None:
    """Space to depth, its inverse, upsampling, parts and joins of channels: one convolution on the input's phases."""
    g = Builder("t")
    x = g.input("x", (1, 4, 8, 8))
    y = g.depth_to_space(g.space_to_depth(x, 2), 2)
    y = g.slice(g.upsample_nearest(y, 2), 1, 1, 3)
    y = g.conv2d(g.concat([y, y], 1), normal(3, 4, 3, 3), stride=2)
    g.output(y)
    made = agree(g.build(), {"x": normal(1, 4, 8, 8)})
    assert kinds(made) == [Op.SPACE_TO_DEPTH, Op.TAP_CONV, Op.DEPTH_TO_SPACE]
    # Four phases of 4×4; two channels, and of the 3×3 kernel on doubled elements 2×2 distinct ones.
    assert made.macs()[made.tasks[1].name] == 3 * 4 * 16 * 2 * 4


def test_an_image_of_too_many_phases_is_copied() -> None:
    """Five doublings: the layouts of the first and of the last image have nothing to do with each other."""
    g = Builder("t")
    x = g.input("x", (1, 1, 2, 2))
    for seed in range(5):
        x = g.conv_transpose2d(x, normal(1, 1, 2, 2, seed=seed), stride=2)
    g.output(x)
    made = agree(g.build(), {"x": normal(1, 1, 2, 2)})
    blocks = [task.attrs["block"] for task in made.tasks if task.op in (Op.SPACE_TO_DEPTH, Op.DEPTH_TO_SPACE)]
    assert len(blocks) == 4 and max(max(block) for block in blocks) == 8


def test_copies_that_are_alike_are_one() -> None:
    """A residual block with a stride reads its input twice, in phases that this does not have."""
    rng, g = np.random.default_rng(0), Builder("residual")
    x = g.input("x", (1, 2, 64, 64))
    for _ in range(3):
        x = g.conv2d(x, rng.normal(size=(2, 2, 3, 3)), stride=2, pads=1)
    y = g.conv2d(x, rng.normal(size=(2, 2, 3, 3)), stride=2, pads=1)
    y = g.add(y, g.conv2d(x, rng.normal(size=(2, 2, 1, 1)), stride=2))
    g.output(g.conv2d(y, rng.normal(size=(2, 2, 3, 3)), stride=2, pads=1))
    made = agree(g.build(), {"x": rng.normal(size=(1, 2, 64, 64))}, phases=(1, 2))
    copied = [task.inputs for task in made.tasks if task.op is Op.SPACE_TO_DEPTH]
    assert len(copied) == len(set(copied))


def test_operators_step_over_elements_where_phases_would_be_too_many() -> None:
    """Five halvings need no copy: from 8 × 8 on elements are stepped over."""
    g = Builder("t")
    x = g.input("x", (1, 1, 64, 64))
    for seed in range(5):
        x = g.conv2d(x, normal(1, 1, 2, 2, seed=seed), stride=2)
    g.output(x)
    made = agree(g.build(), {"x": normal(1, 1, 64, 64)})
    blocks = [task.attrs["block"] for task in made.tasks if task.op in (Op.SPACE_TO_DEPTH, Op.DEPTH_TO_SPACE)]
    assert len(blocks) == 2 and max(max(block) for block in blocks) <= 8
    images = [task for task in made.tasks if task.op is Op.TAP_CONV]
    assert [task.attrs["stride"] for task in images] == [(1, 1), (1, 1), (1, 1), (4, 4), (1, 1)]


def test_operators_step_over_elements_where_phases_would_be_small() -> None:
    """Two halvings from 12 × 12: the convolution before them would make 4 × 4 phases of 3 × 3."""
    g = Builder("t")
    x = g.conv2d(g.input("x", (1, 2, 12, 12)), normal(4, 2, 3, 3), pads=1)
    x = g.max_pool2d(g.conv2d(x, normal(4, 4, 3, 3), stride=2, pads=1), 2)
    g.output(g.conv2d(x, normal(2, 4, 1, 1)))
    made = agree(g.build(), {"x": normal(1, 2, 12, 12)})
    sizes = [task.attrs["size"] for task in made.tasks if task.op in (Op.TAP_CONV, Op.TAP_MAX)]
    assert sizes[0] == (12, 12) and sizes[-1] == (3, 3)


def test_prelu_of_rows_and_of_images() -> None:
    g = Builder("t")
    x = g.input("x", (1, 3, 4, 4))
    y = g.prelu(g.conv2d(x, normal(2, 3, 2, 2)), [1.5, -0.5])
    y = g.prelu(g.matmul(g.reshape(y, (1, 18)), normal(18, 4)), [0.25, -1, 0, 2])
    g.output(y)
    made = agree(g.build(), {"x": normal(1, 3, 4, 4)})
    assert Op.PRELU not in kinds(made)


def test_channels_that_are_kept_once_are_treated_apart() -> None:
    g = Builder("t")
    x = g.conv2d(g.input("x", (1, 1, 4, 4)), normal(1, 1, 2, 2))
    twice = g.concat([x, x], 1)
    bent, scaled = g.prelu(twice, [0.5, -2.0]), g.scale_shift(twice, [1.0, 3.0], [0.0, 1.0], axis=1)
    g.output(bent, scaled, g.mul(twice, np.array([2.0, -1.0]).reshape(2, 1, 1)))
    agree(g.build(), {"x": normal(1, 1, 4, 4)})


def test_functions_of_channels_move_nothing() -> None:
    """Behind a convolution, between transpositions to rows of channels and back, by axis, and behind upsampling."""
    rows, back = (0, 2, 3, 1), (0, 3, 1, 2)
    functions = normal(3, 4, seed=1), normal(3, 4, seed=2)
    g = Builder("t")
    x = g.conv2d(g.input("x", (1, 2, 17, 18)), normal(7, 2, 3, 3))
    x = g.transpose(g.rational(g.transpose(x, rows), *functions, groups=3), back)
    x = g.rational(
        g.upsample_nearest(g.conv2d(x, normal(7, 7, 2, 2), stride=2), 2), *functions, groups=3, axis=1
    )
    g.output(g.conv2d(x, normal(1, 7, 1, 1)))
    made = agree(g.build(), {"x": normal(1, 2, 17, 18)})
    assert Op.TRANSPOSE not in kinds(made) and kinds(made).count(Op.DEPTH_TO_SPACE) == 1
    learned = [task for task in made.tasks if task.op is Op.RATIONAL]
    assert [task.attrs["repeats"] for task in learned] == [4, 4]


@pytest.mark.parametrize("read", ["rows", "both", "neither"])
def test_functions_of_channels_whose_rows_are_read_too(read: str) -> None:
    functions = normal(2, 3, seed=1), normal(2, 2, seed=2)
    g = Builder("t")
    x = g.conv2d(g.input("x", (1, 2, 4, 4)), normal(4, 2, 1, 1))
    y = g.rational(g.transpose(x, (0, 2, 3, 1)), *functions, groups=2, name="y")
    z = g.transpose(y, (0, 3, 1, 2), name="z")
    last = g.conv2d(z, normal(1, 4, 2, 2))
    g.output(last, *{"rows": ("y",), "both": ("y", "z"), "neither": ()}[read])
    made = agree(g.build(), {"x": normal(1, 2, 4, 4)})
    assert (Op.TRANSPOSE in kinds(made)) == (read != "neither")


def test_functions_along_any_axis_of_anything_else() -> None:
    functions = normal(2, 3, seed=1), normal(1, 2, seed=2)
    g = Builder("t")
    x = g.input("x", (3, 5, 4))
    g.output(*(g.rational(x, *functions, groups=2, axis=axis) for axis in range(3)))
    made = agree(g.build(), {"x": normal(3, 5, 4)})
    assert all(task.attrs["axis"] == 2 for task in made.tasks if task.op is Op.RATIONAL)
    assert kinds(made).count(Op.TRANSPOSE) == 4


def test_constants_of_tasks_with_long_names_have_safe_names() -> None:
    """A name that is cut behind an underscore."""
    g = Builder("t")
    g.output(g.conv2d(g.input("x", (1, 1, 6, 6)), normal(2, 1, 3, 3), name="c" * 47))
    agree(g.build(), {"x": normal(1, 1, 6, 6)})


def test_copies_in_more_phases_step_over_elements() -> None:
    """What is read again after two halvings and two enlargements lies in 4 × 4 phases then: two copies bring it there."""
    g = Builder("t")
    x = g.input("x", (1, 1, 128, 96))
    for seed in range(3):
        x = g.conv2d(x, normal(1, 1, 2, 2, seed=seed), stride=2)
    small = g.conv2d(g.conv2d(x, normal(1, 1, 2, 2), stride=2), normal(1, 1, 2, 2), stride=2)
    g.output(g.conv2d(g.concat([g.upsample_nearest(small, 4), x], axis=1), normal(1, 2, 3, 3), pads=1))
    made = agree(g.build(), {"x": normal(1, 1, 128, 96)})
    copies = [task for task in made.tasks if task.op is Op.TAP_MAX]
    assert [(task.attrs["stride"], task.attrs["size"]) for task in copies] == [
        ((2, 2), (8, 6)),
        ((2, 2), (4, 3)),
    ]
    assert [t.op for t in made.tasks if t.op in (Op.SPACE_TO_DEPTH, Op.DEPTH_TO_SPACE)] == [
        Op.SPACE_TO_DEPTH,
        Op.DEPTH_TO_SPACE,
    ], "at the border only"


def gated(size: int) -> Builder:
    """A convolution in four phases, a depthwise one, squeeze and excitation, one that steps back to a phase."""
    g = Builder("gated")
    x = g.relu(g.conv2d(g.input("x", (1, 2, size, size)), normal(6, 2, 3, 3), pads=1))
    x = g.relu(g.conv2d(x, normal(6, 1, 3, 3), normal(6), pads=1, groups=6, name="apart"))
    factors = g.sigmoid(g.conv2d(g.global_avg_pool(x, name="mean"), normal(6, 6, 1, 1)))
    x = g.sigmoid(g.mul(x, g.upsample_nearest(factors, (size, size))))
    g.output(g.conv2d(x, normal(4, 6, 3, 3), stride=2, pads=1))
    return g


def test_phases_of_a_depthwise_convolution_stand_together() -> None:
    """Its channels in their order, of each one phase after the other; other convolutions make phase after phase."""
    made = agree(gated(32).build(), {"x": normal(1, 2, 32, 32)})
    apart = next(task for task in made.tasks if task.name == "apart")
    assert made.tensor(apart.output).shape == (1, 24, 16, 16)
    reads = [sorted({tap[0] % 6 for tap in taps}) for _, taps in groups_of(apart.attrs)]
    assert reads == [[channel] for channel in range(6) for _ in range(4)]


def test_what_others_find_in_order_stays_so() -> None:
    """A sum with another convolution's channels."""
    g = Builder("t")
    x = g.conv2d(g.input("x", (1, 2, 32, 32)), normal(6, 2, 3, 3), pads=1)
    y = g.add(x, g.conv2d(x, normal(6, 1, 3, 3), pads=1, groups=6, name="apart"))
    g.output(g.conv2d(y, normal(4, 6, 3, 3), stride=2, pads=1))
    made = agree(g.build(), {"x": normal(1, 2, 32, 32)})
    apart = next(task for task in made.tasks if task.name == "apart")
    reads = [taps[0][0] % 6 for _, taps in groups_of(apart.attrs)]
    assert reads == [*range(6)] * 4 and Op.TAP_MAX not in kinds(made)


def test_a_global_average_of_phases_is_one_of_columns_first() -> None:
    """32 rows of each column and then 32 columns, in place of 1,024 taps; of one phase it is one convolution."""
    made = agree(gated(32).build(), {"x": normal(1, 2, 32, 32)})
    means = [task for task in made.tasks if task.name.startswith("mean")]
    taps = [[len(taps) for _, taps in groups_of(task.attrs)] for task in means]
    assert taps == [[32] * 12, [32] * 6]
    g = Builder("t")
    g.output(g.global_avg_pool(g.conv2d(g.input("x", (1, 2, 32, 32)), normal(6, 2, 3, 3), pads=1)))
    assert kinds(agree(g.build(), {"x": normal(1, 2, 32, 32)})).count(Op.TAP_CONV) == 2
