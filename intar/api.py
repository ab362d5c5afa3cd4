"""The Python door: ``accel = intar.compile("model.onnx", samples, device="u280")``."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from math import prod
from pathlib import Path
from typing import Any, get_args

import numpy as np

from intar import networks, pipeline, proof, rendering
from intar.design import Design, fastest
from intar.device import make_machine, read_budget
from intar.errors import ConfigError, Finding, OutputError
from intar.frontends import load_model
from intar.frontends.load import Values, as_array, function_name, make_model, sample_arrays
from intar.ir.batch import batched
from intar.ir.schedule import Mode
from intar.ir.shapes import Shape, show
from intar.ir.taskgraph import TaskGraph
from intar.options import parse_budget
from intar.project import read_lock, read_project
from intar.proof import Check
from intar.quant.accuracy import constant_inputs, numerics_report
from intar.quant.blocks import pieces
from intar.quant.calibrate import in_batches, samples
from intar.quant.compare import real_outputs, stacked
from intar.quant.golden import check_ids, dequantise, golden_outputs, integer_samples, quantise_input
from intar.quant.like import take_formats
from intar.quant.scheme import Width
from intar.quant.scheme import scheme as find_scheme
from intar.reopen import update_report
from intar.report.lost import lost_cycles
from intar.report.summary import pattern_rows
from intar.report.write import write_report
from intar.schedule.pins import Pins
from intar.session import size_network

Samples = np.ndarray | Mapping[str, np.ndarray]
Examples = Samples | Sequence[Any] | Any
"""Samples, or tensors of PyTorch, or one of them for each input in order."""


@dataclass(frozen=True, repr=False)
class Accelerator:
    """A compiled network. Calling it runs the integer (golden) model; `csim` and `simulate` run the generated C++ and
    RTL and compare them with golden to the bit, in a project folder that `write` made or in a temporary one.

    Inputs are float arrays, for a network with one input the array itself, else a mapping by input name; outputs
    likewise, dequantised to float64.

    `shorter` are forms of the network for calls at the first positions (`compile`, lengths): the C++ and the RTL perform a
    call in the fastest form that reads all rows of the states before its position. Reports are those of `design`. `single`
    is the network of one sample, of which `graph` takes several a call (`compile`, batch).
    """

    graph: TaskGraph
    design: Design
    shorter: tuple[Design, ...] = ()
    calibration: Mapping[str, np.ndarray] | None = None
    single: TaskGraph | None = None

    def __repr__(self) -> str:
        """One line: the network's border, the machine, the cycles."""
        graph, machine = self.graph, self.design.schedule.machine
        given, made = (
            ", ".join(f"{name} {graph.tensor(name).shape}" for name in side)
            for side in (graph.inputs, graph.outputs)
        )
        return (
            f"Accelerator {graph.name!r}: {given} -> {made}; "
            f"{machine.cores} x {machine.cells} multipliers on {machine.device}, "
            f"{self.design.predicted.cycles:,} cycles predicted"
        )

    def integers(self, x: Samples) -> dict[str, np.ndarray]:
        """The input's integers, by tensor name (ConfigError when an input is missing, or an id is out of range)."""
        names = self.graph.inputs
        given = self._named(x)
        missing = [Finding("no value was given for this input", name) for name in names if name not in given]
        known = f"inputs: {', '.join(names)}"
        unknown = [Finding("there is no such input", name, hint=known) for name in given if name not in names]
        if missing or unknown:
            raise ConfigError(missing + unknown)
        tensors = {name: self.design.quantised.graph.tensor(name) for name in names}
        arrays = {name: as_array(given[name]) for name in names}
        found = [
            wrong for name, tensor in tensors.items() if (wrong := _misfit(name, tensor.shape, arrays[name]))
        ]
        if found:
            raise ConfigError(found)
        ints = {
            name: quantise_input(tensor, arrays[name].reshape(tensor.shape))
            for name, tensor in tensors.items()
        }
        check_ids(self.design.quantised, ints)
        return ints

    def _named(self, x: Samples) -> dict[str, Any]:
        """What is given for each input, by its name here; the model's own name (`input` of `input_x`) is known, too."""
        names = self.graph.inputs
        if not isinstance(x, Mapping):
            return {names[0]: x}
        own = {self.graph.tensor(name).source: name for name in names}
        return {name if name in names else own.get(name, name): value for name, value in x.items()}

    def __call__(self, x: Samples) -> np.ndarray | dict[str, np.ndarray]:
        """One inference of the integer model."""
        return self._real(golden_outputs(self.design.quantised, [self.integers(x)])[0])

    def predict(self, x: Examples) -> np.ndarray | dict[str, np.ndarray]:
        """The integer model on many samples, given as for calibration; outputs have them along their first axis, too.

        Raises
        ------
        CalibrationError
            The samples don't fit the network.
        """
        graph, single = self.graph, self.single or self.graph
        given = self._named(sample_arrays(x, single.inputs))
        count = len(samples(single, given, "samples"))
        size = prod(graph.tensor(graph.inputs[0]).shape) // prod(single.tensor(single.inputs[0]).shape)
        calls = samples(graph, in_batches(single, given, size) or {})
        made = real_outputs(graph, self.design.quantised, calls)
        rows = (
            {name: np.concatenate([one[name] for one in made]) for name in graph.outputs}
            if size > 1
            else stacked(made)
        )
        return self._alone({name: array[:count] for name, array in rows.items()})

    def write(self, directory: str | Path) -> Path:
        """Write the generated project (OutputError when the folder holds something else)."""
        samples = integer_samples(self.design.quantised, self.calibration)
        target = rendering.project(self.design, samples, self.shorter).write(directory)
        for form in (self.design, *self.shorter):
            update_report(target, form)
        return target

    def csim(self, x: Samples, directory: str | Path | None = None) -> Check:
        """One inference of the generated C++; in a written project, or in one of the accelerator's own."""
        target, (form, call) = self._project(directory), self._call(x)
        check = proof.verify_csim(form, [call], target)
        update_report(target, form, [check])
        return check

    def simulate(self, x: Samples, directory: str | Path | None = None) -> Check:
        """One inference of the RTL, likewise; the check carries its cycles."""
        target, (form, call) = self._project(directory), self._call(x)
        check = proof.verify_rtl(form, [call], target)
        update_report(target, form, [check])
        return check

    def report(self, directory: str | Path | None = None) -> dict[str, Any]:
        """The contents of ``report.json`` (`docs/report.md`), with what `csim` and `simulate` found there.

        Writes ``report.json``, ``report.html`` and the trace into the written project, if one is named.
        """
        target = self._project(directory)
        document = update_report(
            target,
            self.design,
            numerics=numerics_report(self.graph, self.design.quantised, self.calibration),
            patterns=list(pattern_rows(self.design)),
            lost_cycles=lost_cycles(self.design),
        )
        write_report(target, self.design, document)
        return document

    def _call(self, x: Samples) -> tuple[Design, dict[str, np.ndarray]]:
        """The form that performs a call, and the integers that it takes."""
        given = self.integers(x)
        form = fastest(self.design, self.shorter, self.design.position(given))
        return form, form.first_rows(given)

    def _project(self, directory: str | Path | None) -> Path:
        """The folder of a written project of this network; without a name that of the accelerator's own."""
        if directory is None:
            return Path(self._scratch.name) / "project"
        target = read_project(directory)
        if read_lock(target)["model"] != self.design.quantised.graph.digest:
            raise OutputError(
                Finding("the project is another network's", str(directory), hint="write it: accel.write(…)")
            )
        return target

    @cached_property
    def _scratch(self) -> tempfile.TemporaryDirectory[str]:
        """A folder with the project, for as long as the accelerator lives."""
        made = tempfile.TemporaryDirectory(prefix="intar-")
        self.write(Path(made.name) / "project")
        return made

    def _real(self, outputs: Mapping[str, np.ndarray]) -> np.ndarray | dict[str, np.ndarray]:
        graph = self.design.quantised.graph
        return self._alone({name: dequantise(graph.tensor(name), value) for name, value in outputs.items()})

    @staticmethod
    def _alone(outputs: dict[str, np.ndarray]) -> np.ndarray | dict[str, np.ndarray]:
        """The array itself where the network has one output."""
        return outputs if len(outputs) > 1 else next(iter(outputs.values()))


def _misfit(name: str, shape: Shape, array: np.ndarray) -> Finding | None:
    """What is wrong with an input's array, if anything."""
    if array.size != prod(shape):
        hint = "predict takes several samples" if prod(shape) and array.size % prod(shape) == 0 else ""
        return Finding(
            f"its shape is {show(array.shape)}, expected {show(shape)} for one inference", name, hint=hint
        )
    if array.dtype.kind not in "fiub":
        return Finding(f"its values are {array.dtype}, not numbers", name)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        return Finding("it holds values that are not finite", name)
    return None


def compile(
    model: Any,
    example_inputs: Examples | None = None,
    *,
    device: str = "u280",
    scheme: str = "w8a8",
    budget: Mapping[str, object] | str | None = None,
    pattern: Mode = "auto",
    pins: Pins | None = None,
    shapes: Mapping[str, int | Sequence[int]] | None = None,
    loop: bool | None = None,
    lengths: int = 1,
    like: Accelerator | None = None,
    bits: Mapping[str, Width] | None = None,
    rational: str = "auto",
    values: Values = None,
    batch: int = 1,
) -> Accelerator:
    """Compile a model.

    Parameters
    ----------
    model : path of a model's file, an ONNX model object, a PyTorch module or exported program, a Builder or a TaskGraph.
    example_inputs : calibration samples along a first axis: an array or tensor for one input, else a tuple in the order
        of the inputs or a mapping by name. A PyTorch module is exported for one of them, its first axis (the batch)
        kept as 1. Not needed for a model that is quantised throughout, nor for ``file.py:function``, which returns some.
    device, scheme, budget, pattern : as on the command line; a budget may also be a mapping, ``{"dsp": 32}``.
    pins : what is decided about the schedule (`intar.schedule.pins.Pins`).
    shapes : sizes of an ONNX model's dynamic axes by symbol, or whole shapes by input.
    loop : True: a block that the model repeats is looped in hardware, False: it is not, None: where it pays.
    lengths : so many forms of a step function, each for another part of the rows of its states; a call is performed by the
        fastest one that has all rows before its position (`docs/generate.md`).
    like : inputs and outputs that it has by the same names, too, take its formats.
    bits : widths by pattern, such as ``{"h.*.fc.in": 16}``; ``"8t"`` for 8 bits with a scale for each token
        (`docs/numerics.md`).
    rational : how rational functions are built: ``auto`` (as costs least), ``table``, ``pieces`` or ``direct``.
    values : numbers or arrays of inputs of an ONNX model that are to be constants, by name.
    batch : samples a call; inputs and outputs have so many along their first axis. Weights are read once for all of them.
    """
    if pattern not in get_args(Mode):
        hint = f"one of: {', '.join(get_args(Mode))}"
        raise ConfigError(Finding(f"there is no pattern {pattern!r}", "pattern", hint=hint))
    asked = parse_budget([budget]) if isinstance(budget, str) else budget
    sized = partial(make_machine, *read_budget(device, asked))
    path = str(model) if isinstance(model, (str, Path)) else ""
    loaded, own = make_model(path) if path else (model, None)
    example_inputs = own if example_inputs is None else example_inputs
    graph = load_model(loaded, shapes, example_inputs, function_name(path), values)
    if like is not None:
        graph = take_formats(graph, like.design.quantised.graph)
    given = None if example_inputs is None else sample_arrays(example_inputs, graph.inputs)
    single, graph = graph, batched(graph, batch)
    data = in_batches(single, given, batch)
    for text in constant_inputs(data):
        warnings.warn(text, stacklevel=2)
    quantised, machine, loops = size_network(
        graph, find_scheme(scheme).with_bits(bits or {}).with_rational(rational), data, sized, loop
    )
    if lengths == 1:
        made = pipeline.compile_quantised(quantised, machine, pattern, pins, loops)
        return Accelerator(graph, made, calibration=data, single=single)
    if pins:
        what = "a schedule is pinned for a single form of a network only"
        raise ConfigError(Finding(what, "lengths", hint="leave pins away"))
    name = networks.main_entry(quantised.graph.name, ())
    network = networks.Network(name, quantised, pieces(quantised.graph, loops))
    made, *shorter = networks.compile_networks(networks.at_lengths(network, lengths), machine, pattern)
    return Accelerator(graph, made, tuple(shorter), data, single)
