"""Train a GR-KAN on the digits (64-32-10) and write it as ONNX: `python designs/grkan_digits/train.py`, some seconds.

Two grouped rational functions, each before its linear layer, with 8 groups: the numerator is shared by all groups, each has
a denominator of its own, as in KAT. They start as the identity and SiLU and are trained with everything else. Needs PyTorch.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn import functional

from intar.gpu import GroupRational

sys.path.insert(0, str(Path(__file__).parents[1] / "digits"))
from data import split

HIDDEN, GROUPS, EPOCHS, BATCH = 32, 8, 150, 64


class Classifier(nn.Module):
    """Images (n, 64) to logits (n, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.act1, self.fc1 = GroupRational(GROUPS, "identity"), nn.Linear(64, HIDDEN)
        self.act2, self.fc2 = GroupRational(GROUPS, "silu"), nn.Linear(HIDDEN, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(self.act2(self.fc1(self.act1(x))))


def train(images: np.ndarray, labels: np.ndarray) -> Classifier:
    """The same network on every run."""
    torch.manual_seed(0)
    model = Classifier()
    x, y = torch.tensor(images), torch.tensor(labels)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, EPOCHS)
    for _ in range(EPOCHS):
        for part in torch.randperm(len(x)).split(BATCH):
            optimiser.zero_grad()
            functional.cross_entropy(model(x[part]), y[part]).backward()
            optimiser.step()
        schedule.step()
    return model.eval()


def to_onnx(model: Classifier) -> onnx.ModelProto:
    """Gemm nodes of ONNX and GroupRational nodes of the domain ``intar``, for one image."""
    nodes, constants, name = [], [], "image"
    for act, layer, tag in ((model.act1, model.fc1, "1"), (model.act2, model.fc2, "2")):
        out = "logits" if tag == "2" else "hidden"
        parameters = {
            f"act{tag}.a": act.weight_numerator,
            f"act{tag}.b": act.weight_denominator,
            f"fc{tag}.weight": layer.weight.T,
            f"fc{tag}.bias": layer.bias,
        }
        a, b, weight, bias = parameters
        bent, groups = f"act{tag}.out", {"domain": "intar", "groups": GROUPS}
        nodes += [
            helper.make_node("GroupRational", [name, a, b], [bent], f"act{tag}", **groups),
            helper.make_node("Gemm", [bent, weight, bias], [out], f"fc{tag}"),
        ]
        arrays = {key: np.ascontiguousarray(value.detach().numpy()) for key, value in parameters.items()}
        constants += [numpy_helper.from_array(array, key) for key, array in arrays.items()]
        name = out
    graph = helper.make_graph(
        nodes,
        "grkan_digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 64))],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, (1, 10))],
        constants,
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("intar", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def main() -> None:
    train_x, test_x, train_y, test_y = split()
    model = train(train_x, train_y)
    onnx.save(to_onnx(model), Path(__file__).with_name("digits.onnx"))
    with torch.no_grad():
        right = model(torch.tensor(test_x)).argmax(1).numpy() == test_y
    print(f"accuracy on the {len(test_y)} test images: {100 * right.mean():.1f} %")


if __name__ == "__main__":
    main()
