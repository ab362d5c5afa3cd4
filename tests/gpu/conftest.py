"""Kernels run on the GPU where there is one, else in Triton's interpreter, which has to be chosen before they are imported.

Tensors here are small: one thread a process, so that tests side by side don't wait for each other's threads.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
