"""Runs the cocotb tests of one module on a simulator that is built."""

from __future__ import annotations

import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from intar.assets import asset_dir
from intar.verify.toolchain import cocotb_environment, first_error


def run(program: Path, module: str, folder: Path, **environment: str) -> list[str]:
    """Run the cocotb tests of `module`; return the names of those that passed, raise on any failure.

    The simulator is called as its top module; `environment` is added to that of the simulation.
    """
    log = folder / f"{module}.log"
    results = folder / f"{module}.xml"
    variables = cocotb_environment(program.name, module, [Path(__file__).parent, asset_dir("sim")])
    variables |= environment | {"COCOTB_RESULTS_FILE": str(results)}
    with open(log, "w") as stream:
        subprocess.run(
            [str(program)], cwd=folder, env=variables, stdout=stream, stderr=subprocess.STDOUT, check=False
        )
    assert results.exists(), first_error(log)
    passed = []
    for case in ElementTree.parse(results).iter("testcase"):
        bad = case.find("failure") if case.find("failure") is not None else case.find("error")
        assert bad is None, f"{case.get('name')}: {bad.attrib}\n{log.read_text()[-4000:]}"
        passed.append(case.get("name", ""))
    return passed
