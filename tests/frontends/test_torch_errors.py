"""PyTorch modules that can't be translated: one typed error with every finding, its module and its line."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from frontends.test_torch_numbers import Function
from torch import nn

import intar
from intar.errors import ConfigError, GraphError, UnsupportedError, UserError
from intar.frontends import load_model
from intar.frontends.torch_graph import import_torch

Golden = Callable[[str, str], None]


def message(run: Callable[[], object], kind: type[UserError]) -> str:
    with pytest.raises(kind) as caught:
        run()
    return re.sub(r"(test_torch_\w+\.py):\d+", r"\1:LINE", str(caught.value))


class Odd(nn.Module):
    """A block with operators that a circuit does not have."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 8)

    def forward(self, x):
        y = self.fc(x)
        y = torch.digamma(y)
        return y.logcumsumexp(-1) + y.sort(-1).values


class Table(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.out = nn.Embedding(10, 8), nn.Linear(8, 4)

    def forward(self, tokens):
        return self.out(self.table(tokens)) + tokens.float().unsqueeze(-1)


def test_all_unsupported_operators_at_once(golden: Golden) -> None:
    blocks = nn.Sequential(Odd(), Odd(), nn.ELU())
    golden("torch_unsupported", message(lambda: import_torch(blocks, torch.zeros(1, 8)), UnsupportedError))


def test_refused_modes(golden: Golden) -> None:
    """Operators that are known, used in a way that is not."""
    image, row = torch.zeros(1, 4, 6, 6), torch.zeros(1, 8)
    cases = [
        (nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)), image, UnsupportedError),
        (nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5)), row, UnsupportedError),
        (Function(lambda m, x: x.topk(3).values), row, UnsupportedError),
        (Function(lambda m, x: F.one_hot(x.argmax(-1), 8).float() * x), row, UnsupportedError),
        (Function(lambda m, x: x.abs() ** x % x), row, UnsupportedError),
        (Function(lambda m, x: x[:, torch.arange(8) % 2 == 0] * 2), row, UnsupportedError),
        (Function(lambda m, x: torch.fft.rfft(x).abs()), row, UnsupportedError),
        (nn.Sequential(nn.ConvTranspose3d(1, 2, 2)).eval(), torch.zeros(1, 1, 4, 4, 4), UnsupportedError),
        (Function(lambda m, x: x.masked_fill(x > 0, float("-inf")).amax(-1)), row, UnsupportedError),
        (Table().eval(), torch.zeros(1, 5, dtype=torch.int64), UnsupportedError),
    ]
    texts = [message(lambda m=m, x=x: import_torch(m, x), kind) for m, x, kind in cases]
    golden("torch_modes", "\n---\n".join(texts))


def test_samples_that_are_no_samples(golden: Golden) -> None:
    """A graph of six nodes without an axis in front: of its nodes one is taken for a sample."""
    ends = torch.tensor([1, 2, 3, 4, 5, 0])
    text = message(lambda: import_torch(Function(lambda m, x: x[ends] + x), torch.zeros(6, 8)), GraphError)
    golden("torch_samples", text)


def test_dynamic_axes(golden: Golden) -> None:
    axis = torch.export.Dim("batch", min=2, max=64)
    program = torch.export.export(
        nn.Linear(8, 4).eval(), (torch.zeros(4, 8),), dynamic_shapes=({0: axis},), strict=False
    )
    golden("torch_dynamic", re.sub(r"'s\d+'", "'SYMBOL'", message(lambda: import_torch(program), GraphError)))


def test_coefficients_are_constants(golden: Golden) -> None:
    from intar.gpu import group_rational

    class Rational(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.layer = nn.Parameter(torch.ones(1, 6)), nn.Linear(8, 4)

        def forward(self, x):
            return group_rational(x, self.a, self.layer(x), 8)

    golden(
        "torch_rational",
        message(lambda: import_torch(Rational().eval(), torch.zeros(8, 8)), UnsupportedError),
    )


def test_what_is_no_program(golden: Golden, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.pt2"
    broken.write_bytes(b"nothing")
    factory = tmp_path / "made.py"
    factory.write_text(
        "def number():\n    return 42\n\n"
        "def nothing_back():\n    print('loading')\n\n"
        "def sized(width):\n    pass\n\n"
        "def missing():\n    return open('weights.pt')\n"
    )
    (tmp_path / "typo.py").write_text("def made(:\n")
    (tmp_path / "needs.py").write_text("import a_package_that_is_not_here\n")

    class Choice(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    texts = [
        message(lambda: import_torch(nn.Linear(8, 4)), GraphError),
        message(lambda: load_model(broken), GraphError),
        message(lambda: load_model(f"{factory}:number"), GraphError),
        message(lambda: load_model(f"{factory}:nothing"), GraphError),
        *(
            message(lambda name=name: load_model(f"{tmp_path}/{name}"), GraphError)
            for name in (
                "made.py:nothing_back",
                "made.py:sized",
                "made.py:missing",
                "typo.py:made",
                "needs.py:made",
            )
        ),
        message(lambda: intar.compile(Choice(), np.zeros((2, 8))), GraphError),
        message(lambda: intar.compile(nn.Linear(8, 4), np.zeros((2, 5))), GraphError),
        message(lambda: intar.compile(nn.Sequential(nn.BatchNorm1d(8)), np.zeros((2, 8))), GraphError),
        message(lambda: intar.compile(nn.Linear(8, 4), "samples.npy"), ConfigError),
    ]
    said = capfd.readouterr()
    assert not said.out, "the standard output is the command's"
    assert said.err == "loading\n", "PyTorch prints graphs and logs where an export fails"
    plain = "\n---\n".join(texts).replace(str(tmp_path), "FOLDER")
    golden("torch_no_program", re.sub(r"why: Guard.*", "why: REASON", plain))
