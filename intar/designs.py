"""Reference designs: a model, its budget and its calibration data, as a small YAML file in `designs/`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from intar.assets import asset_dir, import_file
from intar.device.boards import suggest
from intar.errors import ConfigError, Finding, field_findings
from intar.ir.taskgraph import TaskGraph
from intar.quant.scheme import Rational, Width


class Calibration(BaseModel):
    """`random`: seed of normal data; `module`: a Python file with ``split()`` whose first array is real inputs."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    random: int | None = None
    module: str | None = None
    samples: int = 64


class Anchor(BaseModel):
    """A published figure to compare with."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    cycles: int
    source: str


class DesignFile(BaseModel):
    """The contents of a ``design.yaml``; `export`: a script beside it that writes the model; `bits`: widths by pattern
    (`intar.quant.widths`); `rational`: how rational functions are built; `skip`, `phases`: see :func:`intar.grid.prepare`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    model: str
    export: str | None = None
    scheme: str = "w8a8"
    bits: dict[str, Width] = {}
    rational: Rational = "auto"
    device: str
    budget: dict[str, int | float] = {}
    calibration: Calibration = Calibration(random=0)
    skip: tuple[str, ...] = ()
    phases: tuple[int, int] = (1, 1)
    anchor: Anchor | None = None
    group: str = "designs"


def names(group: str | None = None) -> list[str]:
    """Reference designs by name, all or those of one group (`kernels`: InTAR's five)."""
    found = sorted(path.parent.name for path in asset_dir("designs").glob("*/design.yaml"))
    return [name for name in found if group is None or load(name)[1].group == group]


DEFAULT_GROUPS = ("designs", "small")


def groups() -> list[str]:
    """Every group that a design names."""
    return sorted({load(name)[1].group for name in names()})


def expand(chosen: Sequence[str]) -> list[str]:
    """Designs by name, in the order given, a group standing for its designs.

    When nothing is given: the designs that are quick to simulate and need nothing that is not here, DEFAULT_GROUPS.
    ConfigError names all that are neither design nor group.
    """
    known, single = set(groups()), names()
    what = "there is no reference design and no group of this name"
    if unknown := [item for item in chosen if item not in known and item not in single]:
        raise ConfigError(
            Finding(what, item, hint=suggest(item, [*single, *sorted(known)])) for item in unknown
        )
    listed = [
        name for item in chosen or DEFAULT_GROUPS for name in (names(item) if item in known else [item])
    ]
    return list(dict.fromkeys(listed))


def load(name: str) -> tuple[Path, DesignFile]:
    """Folder and contents of a design (ConfigError when there is none of that name)."""
    if name not in names():
        raise ConfigError(
            Finding(f"there is no design {name!r}", "design", hint=f"one of: {', '.join(names())}")
        )
    folder = asset_dir("designs") / name
    try:
        return folder, DesignFile.model_validate(yaml.safe_load((folder / "design.yaml").read_text()))
    except ValidationError as error:
        raise ConfigError(field_findings(error, f"{name}/design.yaml")) from None


def model_file(folder: Path, spec: DesignFile) -> Path:
    """The design's model (ConfigError when it has to be exported first)."""
    path = folder / spec.model
    if spec.export and not path.exists():
        script = folder / spec.export
        raise ConfigError(
            Finding(
                "its model is made from a package's weights, and has not been exported yet",
                f"design '{folder.name}'",
                hint=f"run: python {script} (its first lines say what it needs)",
            )
        )
    return path


def samples(folder: Path, calibration: Calibration, graph: TaskGraph) -> dict[str, np.ndarray]:
    """Input samples along a first axis, for each network input."""
    shapes: Mapping[str, tuple[int, ...]] = {name: graph.tensor(name).shape for name in graph.inputs}
    if calibration.module:
        real = import_file(folder / calibration.module).split()[0][: calibration.samples]
        return {name: real.reshape(-1, *shape) for name, shape in shapes.items()}
    rng = np.random.default_rng(calibration.random)
    return {name: rng.normal(size=(calibration.samples, *shape)) for name, shape in shapes.items()}
