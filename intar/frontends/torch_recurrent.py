"""LSTM, GRU and RNN of several layers as nodes of one layer each, with their weights in ONNX's order."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from intar.frontends.onnx_nodes import Rejected
from intar.frontends.torch_nodes import Writer

Arguments = Mapping[str, Any]

ORDER = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2), "RNN": (0,)}
"""Where ONNX's gates stand in PyTorch's weights."""


def _recurrent(kind: str, attrs: Mapping[str, Any]) -> Callable[[Writer, Arguments], None]:
    def handler(w: Writer, a: Arguments) -> None:
        if "input" not in a:
            raise Rejected(
                "it takes a packed sequence", "all sequences are as long as the input", "pass a tensor"
            )
        if a["dropout"] and a["train"]:
            raise Rejected("it drops elements", hint="call .eval() before the export")
        ways = 2 if a["bidirectional"] else 1
        arrays = _weights(w, a, ways)
        x, shape = a["input"], w.shape(a["input"])
        batch_first = bool(a["batch_first"])
        if batch_first:
            x, shape = w.emit("Transpose", [x], {"perm": (1, 0, 2)}), (shape[1], shape[0], shape[2])
        states = a["hx"] if isinstance(a["hx"], (list, tuple)) else [a["hx"]]
        named = {**attrs, "direction": "bidirectional" if ways == 2 else "forward"}
        if len(named.get("activations", ())) * ways > 1:
            named["activations"] = named["activations"] * ways
        lasts: list[list[str]] = []
        for layer in range(a["num_layers"]):
            each = arrays[layer * ways : (layer + 1) * ways]
            own = [_gates(kind, np.stack(same)) for same in zip(*each, strict=True)]
            biases = [np.concatenate(own[2:], 1)] if len(own) == 4 else [None]
            starts = [_layer_of(w, state, layer, ways) for state in states]
            made = [w.fresh(f"{w.current.name}:{layer}:{part}") for part in ("y", *("hc"[: len(states)]))]
            hidden = own[1].shape[-1]
            part = f"l{layer}" if a["num_layers"] > 1 else ""
            inputs = [x, *own[:2], *biases, None, *starts]
            w.emit(kind, inputs, named | {"hidden_size": hidden}, made, part)
            lasts.append(made[1:])
            x = w.emit("Transpose", [made[0]], {"perm": (0, 2, 1, 3)})
            x = w.emit("Reshape", [x, w.integers((*shape[:2], ways * hidden))])
        if batch_first:
            x = w.emit("Transpose", [x], {"perm": (1, 0, 2)})
        results = [x]
        for same in zip(*lasts, strict=True):
            results.append(w.emit("Concat", same, {"axis": 0}) if len(same) > 1 else same[0])
        w.names[w.current] = ""
        for user in w.current.users:
            if user.target is operator.getitem:
                w.names[user] = results[int(user.args[1])]  # type: ignore[arg-type]

    return handler


def _weights(w: Writer, a: Arguments, ways: int) -> list[list[np.ndarray]]:
    """The weights and biases of each layer and direction."""
    if not all(w.is_constant(each) for each in a["params"]):
        raise Rejected("its weights are computed at run time", "weights of a recurrent layer are constants")
    size = 4 if a["has_biases"] else 2
    arrays = [w.array(each) for each in a["params"]]
    if len(arrays) != size * ways * a["num_layers"]:
        raise Rejected("it projects its states (proj_size)", hint="put a Linear behind it instead")
    return [arrays[at : at + size] for at in range(0, len(arrays), size)]


def _gates(kind: str, array: np.ndarray) -> np.ndarray:
    """An array of PyTorch's (directions, gates · hidden, …) with its gates in ONNX's order."""
    order = ORDER[kind]
    split = array.reshape(array.shape[0], len(order), -1, *array.shape[2:])
    return split[:, order].reshape(array.shape)


def _layer_of(w: Writer, state: Any, layer: int, ways: int) -> Any:
    """The states of a layer before its first step (directions, batch, hidden); None for zeros."""
    ends = layer * ways, (layer + 1) * ways
    if w.is_constant(state):
        array = w.array(state)[ends[0] : ends[1]]
        return array if array.any() else None
    if w.shape(state)[0] == ways:
        return state
    return w.emit("Slice", [state, *(w.integers([n]) for n in (*ends, 0))])


RECURRENT: dict[str, Callable[[Writer, Arguments], None]] = {
    "lstm": _recurrent("LSTM", {}),
    "gru": _recurrent("GRU", {"linear_before_reset": 1}),
    "rnn_tanh": _recurrent("RNN", {"activations": ("Tanh",)}),
    "rnn_relu": _recurrent("RNN", {"activations": ("Relu",)}),
}
"""By the operator's name without namespace and overload."""
