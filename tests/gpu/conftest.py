"""Tensors here are small: one thread a process, so that tests side by side don't wait for each other's threads.

On a GPU every shape would be tuned, which takes minutes: one configuration does, since none of it shows in the bits.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True, scope="session")
def one_configuration() -> None:
    if torch.cuda.is_available():
        from intar.gpu import launch

        for kernel in (*launch._forward.values(), *launch._backward.values()):
            kernel.configs = kernel.configs[:1]
