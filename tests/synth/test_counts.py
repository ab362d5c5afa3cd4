"""Cells of a netlist's statistics, added up over the hierarchy; what is said when a tool or a file is missing."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from intar.device import boards
from intar.errors import ConfigError, ToolError
from intar.verify import synth

RECORDED = json.loads((Path(__file__).parent / "stat.json").read_text())


def test_instances_of_instances_are_counted() -> None:
    found = synth.count_cells(RECORDED, "kernel_tiny", "recorded")
    # 3 middles of 2 multiplying leaves each, and one leaf of the top's own.
    assert found.dsp == 3 * 2 + 1
    assert found.ff == 7 * 32
    # 3 halves and a whole one.
    assert found.bram36 == 2.5
    assert found.uram == 1
    # 3 x (9 tables, 8 as memory, 1 inverter) and 2 shift registers.
    assert found.lut == 3 * 18 + 2
    assert found.source == "recorded"


def test_modules_own_their_cells() -> None:
    found = synth.count_cells(RECORDED, "kernel_tiny")
    assert sorted(found.by_module) == ["kernel_tiny", "leaf", "middle"]
    assert found.by_module["leaf"] == {"dsp": 7, "bram36": 0, "uram": 0, "lut": 51, "ff": 224}
    assert found.by_module["middle"] == {"dsp": 0, "bram36": 1.5, "uram": 0, "lut": 3, "ff": 0}
    for kind in ("dsp", "bram36", "uram", "lut", "ff"):
        assert sum(own[kind] for own in found.by_module.values()) == getattr(found, kind)


def test_modules_beside_the_top_do_not_count() -> None:
    found = synth.count_cells(RECORDED, "middle")
    assert (found.dsp, found.bram36, found.uram) == (2, 0.5, 0)
    assert "kernel_tiny" not in found.by_module


def test_a_cell_of_unknown_size_is_an_error() -> None:
    statistics = copy.deepcopy(RECORDED)
    statistics["modules"]["\\middle"]["num_cells_by_type"] |= {"BLACK_BOX": 2, "DSP58": 1}
    with pytest.raises(ToolError, match="BLACK_BOX, DSP58"):
        synth.count_cells(statistics, "kernel_tiny")


def test_the_top_has_to_be_there() -> None:
    with pytest.raises(ToolError, match="kernel_other"):
        synth.count_cells(RECORDED, "kernel_other")


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("kernel", "kernel"),
        (r"$paramod$00ff\intar_fifo", "intar_fifo"),
        (r"$paramod\intar_fifo\DEPTH=s32'00000000000000000000000000000010", "intar_fifo"),
    ],
)
def test_parameterised_names(name: str, plain: str) -> None:
    assert synth.plain_name(name) == plain


def test_every_board_has_a_family() -> None:
    for name, board in boards().items():
        family, note = synth.family_of(name)
        assert family in synth.FAMILIES
        # Only the UltraScale+ parts and their nearest relatives are mapped to xcup, the latter with a note.
        assert (family == "xcup") == (board.part[:3] in ("xcu", "xcz", "xck", "xcv"))
        assert bool(note) == board.part.startswith("xcv")
    assert synth.family_of("pynq-z2") == ("xc7", "")
    assert synth.family_of("ecp5-85f") == ("ecp5", "")


def test_a_missing_yosys_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synth.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ToolError, match=r"pip install 'intar\[synth\]'"):
        synth.synthesise(tmp_path, "kernel")


def test_all_missing_files_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synth, "_yosys_version", lambda: "0")
    with pytest.raises(ConfigError, match=r"filelist\.f"):
        synth.synthesise(tmp_path, "kernel")
    (tmp_path / "rtl").mkdir()
    (tmp_path / "rtl" / "filelist.f").write_text("one.sv\ntwo.sv\n")
    with pytest.raises(ConfigError) as error:
        synth.synthesise(tmp_path, "kernel")
    assert [finding.where for finding in error.value.findings] == ["rtl/one.sv", "rtl/two.sv"]


def test_an_unknown_family_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="xcup, xc7, ecp5"):
        synth.synthesise(tmp_path, "kernel", "virtex2")


def test_the_first_error_line_is_quoted() -> None:
    text = "Warning: a\n\na.sv:3: ERROR: syntax error, unexpected ';'\nERROR: later\n"
    assert synth.first_error(text) == "a.sv:3: ERROR: syntax error, unexpected ';'"
    assert synth.first_error("killed\n") == "killed"
    assert synth.first_error("") == "(no output)"
