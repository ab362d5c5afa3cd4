"""RNet, the second network of the MTCNN face detector, as ONNX.

Weights are those of the package facenet-pytorch (only its data file is read); PyTorch exports the model. Needs
``pip install torch onnxscript`` and ``pip install --no-deps facenet-pytorch==2.6.0``.

    python designs/rnet/export.py      writes rnet.onnx beside this file
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import torch
from torch import nn

TARGET = Path(__file__).with_name("rnet.onnx")


def weights() -> Path:
    """The package's weight file."""
    files = importlib.metadata.files("facenet-pytorch") or []
    (found,) = (file for file in files if file.name == "rnet.pt")
    return Path(str(found.locate()))


class RNet(nn.Module):
    """Image (1, 3, 24, 24), values ``(pixel - 127.5) / 128`` → probabilities of no face and face, corrections of the box."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 28, 3), nn.PReLU(28)
        self.conv2, self.prelu2 = nn.Conv2d(28, 48, 3), nn.PReLU(48)
        self.conv3, self.prelu3 = nn.Conv2d(48, 64, 2), nn.PReLU(64)
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.dense4, self.prelu4 = nn.Linear(576, 128), nn.PReLU(128)
        self.dense5_1, self.dense5_2 = nn.Linear(128, 2), nn.Linear(128, 4)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.pool(self.prelu1(self.conv1(x)))
        x = self.pool(self.prelu2(self.conv2(x)))
        x = self.prelu3(self.conv3(x))
        x = x.permute(0, 3, 2, 1).reshape(1, -1)
        x = self.prelu4(self.dense4(x))
        return torch.softmax(self.dense5_1(x), dim=1), self.dense5_2(x)


def export(target: Path = TARGET) -> Path:
    """Write the model."""
    model = RNet().eval()
    model.load_state_dict(torch.load(weights(), weights_only=True))
    sample = torch.zeros(1, 3, 24, 24)
    program = torch.onnx.export(
        model, (sample,), dynamo=True, input_names=["image"], output_names=["face", "box"], opset_version=20
    )
    program.save(str(target), external_data=False)
    return target


if __name__ == "__main__":
    print(export())
