"""Networks trained for few bits (QONNX's Quant, Brevitas' QCDQ): our integers are those of the model's own arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import qonnx_networks
from onnx.reference import ReferenceEvaluator
from qonnx_networks import BipolarQuant, Network, Quant, Trunc, convolutions
from quant_networks import digits

from intar.errors import UnsupportedError
from intar.frontends.load import load_model
from intar.ir.quantgraph import QConv, QMatmul
from intar.quant.golden import quantise_input, run_golden
from intar.quant.quantise import quantise


def differences(
    model: onnx.ModelProto, samples: np.ndarray, calibration: dict[str, np.ndarray] | None = None
) -> tuple[int, int, int]:
    """Results that differ from the model's own, in steps the largest difference, and all results."""
    ours = quantise(load_model(model), calibration=calibration)
    x, y = (ours.graph.tensor(names[0]) for names in (ours.graph.inputs, ours.graph.outputs))
    reference = ReferenceEvaluator(model, new_ops=[Quant, BipolarQuant, Trunc])
    gaps = []
    for sample in samples:
        theirs = np.rint(reference.run(None, {"x": sample[None]})[0] / y.scale)
        mine = run_golden(ours, {x.name: quantise_input(x, sample[None])}).tensors[y.name] - y.zero
        gaps.append(np.abs(theirs - mine).reshape(-1))
    every = np.concatenate(gaps)
    return int((every > 0).sum()), int(every.max()), every.size


def perceptron(weight_bits: int, bits: int, per_channel: bool, scale: float = 0.031) -> onnx.ModelProto:
    weights, biases, *_ = digits()
    return qonnx_networks.perceptron(weights, biases, weight_bits, bits, per_channel, scale)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize(("weight_bits", "bits"), [(1, 2), (2, 3), (3, 4), (4, 6), (6, 9), (8, 12)])
def test_perceptrons_of_few_bits(weight_bits: int, bits: int, per_channel: bool) -> None:
    *_, images, _ = digits()
    wrong, worst, total = differences(perceptron(weight_bits, bits, per_channel), images[:100])
    # The model's own float32 sums are as coarse as a thousandth of a step where there are 4,096 of them.
    assert (wrong, total) == (0, 1000) if bits < 12 else worst <= 1 and wrong <= 5
    ours = quantise(load_model(perceptron(weight_bits, bits, per_channel)))
    kinds = [task for task in ours.graph.tasks if isinstance(task, QMatmul)]
    assert [task.weight_bits for task in kinds] == [4 if weight_bits <= 4 else 8] * 2
    assert len(ours.graph.tasks) == 2 + (ours.graph.tensor(kinds[0].inputs[0]).name != "x")


def test_ties_of_powers_of_two_go_up() -> None:
    """With such scales sums fall between two integers, where the machine rounds up and NumPy to the even one."""
    *_, images, _ = digits()
    wrong, worst, total = differences(perceptron(3, 4, False, scale=2.0**-5), images[:100])
    assert worst <= 1 and wrong <= total // 50


@pytest.mark.parametrize("bits", [1, 3])
def test_convolutions_of_few_bits(bits: int) -> None:
    model = convolutions(bits)
    *_, images, _ = digits()
    assert differences(model, images[:50]) == (0, 0, 500)
    convs = [task for task in quantise(load_model(model)).graph.tasks if isinstance(task, QConv)]
    assert [task.weight_bits for task in convs][1:] == [4, 4]  # the first one clips the input to 5 bits


def test_clips_between_quantise_and_dequantise() -> None:
    """QCDQ: integers of 8 bits, clipped to fewer."""
    rng = np.random.default_rng(0)
    net = Network()

    def grid(x: Any, scale: float, low: int, high: int) -> str:
        kind = np.int8 if low else np.uint8
        zero = net.array(np.zeros(1, kind))
        net.arrays[zero] = np.zeros((), kind)
        ends = [net.array(np.array([n])) for n in (low, high)]
        net.arrays |= {name: np.array(n, kind) for name, n in zip(ends, (low, high), strict=True)}
        made = net.node("Clip", net.node("QuantizeLinear", x, scale, zero), *ends)
        return net.node("DequantizeLinear", made, scale, zero)

    weight = grid(rng.standard_normal((64, 16)), 0.8, -3, 3)
    a = net.node("MatMul", grid("x", 0.061, 0, 15), weight)
    model = net.model(grid(net.node("Relu", a), 0.37, 0, 31), (1, 64))
    *_, images, _ = digits()
    assert differences(model, images[:100]) == (0, 0, 1600)
    (task,) = (task for task in quantise(load_model(model)).graph.tasks if isinstance(task, QMatmul))
    assert (task.weight_bits, task.hi - task.lo) == (4, 31)


def product(net: Network, x: str, rows: int, columns: int, scale: float = 2.0**-4) -> str:
    """A matmul with whole weights from −3 to 3, times a scale."""
    weight = np.random.default_rng(rows).integers(-3, 4, (rows, columns))
    return net.node("MatMul", x, net.quant(weight * scale, scale, 4, narrow=1))


@pytest.mark.parametrize("scale", [2.0**-3, 0.13])
def test_activations_rounded_down(scale: float) -> None:
    """Also where sums are whole numbers of steps, which they often are with powers of two."""
    net = Network()
    x = net.quant("x", 1 / 16, 4, signed=0)
    y = net.node("Relu", product(net, x, 64, 32))
    y = net.node("Quant", y, scale, 0.0, 6.0, rounding_mode="FLOOR", signed=0)
    z = net.node("Quant", product(net, y, 32, 16), 1.0, 0.0, 8.0, rounding_mode="FLOOR")
    *_, images, _ = digits()
    wrong, worst, total = differences(net.model(z, (1, 64)), images[:100])
    # Of other scales than powers of two float32 says of some sums that they lie just below a whole number of steps.
    assert (wrong, total) == (0, 1600) if scale == 2.0**-3 else worst <= 1 and wrong <= 16


def test_truncated_sums() -> None:
    """The mean of four integers without their last two bits, as networks for integers have it."""
    net = Network()
    image = net.node("Reshape", net.quant("x", 0.07, 4, signed=0), np.array([1, 1, 8, 8]))
    sums = net.node("Mul", net.node("AveragePool", image, kernel_shape=[2, 2], strides=[2, 2]), 4.0)
    y = net.node("Trunc", sums, 0.07, 0.0, 6.0, 4.0, rounding_mode="FLOOR")
    *_, images, _ = digits()
    assert differences(net.model(y, (1, 64)), images[:100]) == (0, 0, 1600)


def test_activations_of_one_bit() -> None:
    """A step between two products."""
    net = Network()
    x = net.quant("x", 1 / 15, 4, signed=0)
    step = net.node("BipolarQuant", net.node("Add", product(net, x, 64, 32), 0.01), 0.5)
    y = net.quant(product(net, step, 32, 10), 0.23, 8)
    *_, images, _ = digits()
    model = net.model(y, (1, 64))
    assert differences(model, images[:100], {"x": images[:100]}) == (0, 0, 1000)


def refused(build: Any) -> str:
    """What is said of a network of one Quant node."""
    net = Network()
    with pytest.raises(UnsupportedError) as caught:
        load_model(net.model(net.node("Relu", build(net)), (1, 64)))
    return str(caught.value)


def test_what_is_refused() -> None:
    assert "by channel" in refused(lambda net: net.node("BipolarQuant", "x", np.full((1, 64), 0.5)))
    assert "to 17 bits" in refused(lambda net: net.quant("x", 0.5, 17))
    assert "by channel" in refused(lambda net: net.quant("x", np.full((1, 64), 0.5), 8))
    ceil = refused(lambda net: net.node("Quant", "x", 0.5, 0.0, 8.0, rounding_mode="CEIL"))
    assert "rounds an activation with mode CEIL" in ceil
    assert "more than 15 bits" in refused(lambda net: net.node("Trunc", "x", 0.5, 1.0, 8.0, 4.0))
    assert "rounding mode is WILD" in refused(
        lambda net: net.node("Quant", "x", 0.5, 0.0, 8.0, rounding_mode="WILD")
    )
    assert "bit width" in refused(lambda net: net.quant("x", 0.5, 40))
    assert "computed at run time" in refused(lambda net: net.quant("x", net.node("ReduceMax", "x"), 8))
