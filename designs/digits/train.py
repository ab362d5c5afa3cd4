"""Train the digits classifier (64-48-32-10, ReLU) and write it as ONNX: `python designs/digits/train.py`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from data import split
from onnx import TensorProto, helper, numpy_helper
from sklearn.neural_network import MLPClassifier


def to_onnx(model: MLPClassifier) -> onnx.ModelProto:
    """The network up to the logits, as Gemm and Relu nodes for one image."""
    nodes, constants, name = [], [], "image"
    last = len(model.coefs_) - 1
    for i, (weight, bias) in enumerate(zip(model.coefs_, model.intercepts_, strict=True)):
        constants.append(numpy_helper.from_array(weight.astype(np.float32), f"fc{i}.weight"))
        constants.append(numpy_helper.from_array(bias.astype(np.float32), f"fc{i}.bias"))
        out = "logits" if i == last else f"fc{i}.out"
        nodes.append(helper.make_node("Gemm", [name, f"fc{i}.weight", f"fc{i}.bias"], [out], f"fc{i}"))
        name = out
        if i != last:
            nodes.append(helper.make_node("Relu", [out], [f"relu{i}.out"], f"relu{i}"))
            name = f"relu{i}.out"
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 64))],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, (1, 10))],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def main() -> None:
    train_x, test_x, train_y, test_y = split()
    model = MLPClassifier((48, 32), alpha=1e-3, max_iter=400, random_state=0)
    model.fit(train_x, train_y)
    made = to_onnx(model)
    onnx.checker.check_model(made)
    onnx.save(made, Path(__file__).with_name("digits.onnx"))
    print(f"accuracy on the {len(test_y)} test images: {100 * model.score(test_x, test_y):.1f} %")


if __name__ == "__main__":
    main()
