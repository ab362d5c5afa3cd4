"""The csim runtime: bounded streams, persistent tasks, exact faults, statistics; and how fast it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from intar.errors import ToolError
from intar.verify.csim_build import CHECK_FLAGS, CsimResult, compile_csim, run_csim

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program with all small cases."""
    return compile_csim(
        [HERE / "cases.cpp"], [], tmp_path_factory.mktemp("cases"), ["-O1", "-Wall", "-Wextra", "-Werror"]
    )


@pytest.fixture(scope="session")
def strict_cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same under the sanitizer, fresh memory filled with a pattern."""
    return compile_csim([HERE / "cases.cpp"], [], tmp_path_factory.mktemp("strict"), ["-O1", *CHECK_FLAGS])


def run(program: Path, case: str, *args: object, **env: object) -> CsimResult:
    return run_csim(
        program, [case, *map(str, args)], {key: str(value) for key, value in env.items()}, timeout=60
    )


def test_tasks_persist_over_calls(cases: Path) -> None:
    result = run(cases, "chain")
    assert result.ok and int(result.stdout) == 3 * 4 * sum(range(100))
    assert result.stats is not None and result.stats.calls == 3
    assert {s.name: (s.written, s.read, s.fill) for s in result.stats.streams} == {
        name: (300, 300, 0) for name in ("a", "b", "c")
    }


@pytest.mark.parametrize("depth", [1, 2, 3, 64, "inf", 0])
@pytest.mark.parametrize("seed", [None, 1, 2])
def test_results_do_not_depend_on_depth_or_order(cases: Path, depth: object, seed: object) -> None:
    env = {"INTAR_SIM_DEPTH": depth} | ({} if seed is None else {"INTAR_SIM_SEED": seed})
    result = run(cases, "chain", **env)
    assert result.stdout == run(cases, "chain").stdout
    assert result.stats is not None
    bound = {0: 4, "inf": 100}.get(depth, depth)  # type: ignore[call-overload]
    assert all(1 <= stream.high_water <= bound for stream in result.stats.streams)
    assert {stream.depth for stream in result.stats.streams} == {None if depth == "inf" else depth or 4}


def test_too_little_depth_is_a_deadlock_and_enough_is_none(cases: Path) -> None:
    assert run(cases, "exchange", 33, INTAR_SIM_DEPTH=32).stdout == f"{sum(range(33))}\n"
    assert run(cases, "exchange", 33, INTAR_SIM_DEPTH="inf").ok
    result = run(cases, "exchange", 33, INTAR_SIM_DEPTH=31)
    assert result.returncode == 40 and result.stats is None
    fault = result.fault
    assert fault is not None and (fault.status, fault.kernel, fault.call) == ("deadlock", "exchange", 1)
    assert set(fault.involved) == {"exchange_left", "exchange_right"}
    blocked = {p.name: (p.kind, p.operation, p.stream) for p in fault.processes if p.state == "blocked"}
    assert blocked == {
        "exchange_left": ("task", "write", "there"),
        "exchange_right": ("task", "write", "back"),
        "collect": ("control", "read", "done"),
    }
    assert [p.name for p in fault.processes if p.state == "finished"] == ["start"]
    streams = {s.name: (s.fill, s.depth, s.declared, s.written) for s in fault.streams}
    assert streams == {
        "there": (31, 31, 8, 32),
        "back": (31, 31, 8, 31),
        "go": (0, 31, 2, 1),
        "done": (0, 31, 2, 0),
    }
    assert "'there': holds 31 of 31 tokens" in fault.message and "more depth for" in fault.message


def test_a_cycle_of_readers_says_that_depth_does_not_help(cases: Path) -> None:
    result = run(cases, "starved")
    assert result.fault is not None and result.fault.involved == ("left", "right")
    assert "more depth does not help" in result.stderr


def test_tokens_left_over_are_a_fault(cases: Path) -> None:
    result = run(cases, "leftover")
    assert result.returncode == 41 and result.fault is not None
    assert (result.fault.status, result.fault.involved) == ("leftover", ("numbers",))
    assert "still holds 3 tokens (10 written by 'source', 7 read by 'sink')" in result.fault.message


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("two_readers", "stream 'shared' has two readers, 'one' and 'two'"),
        ("idle", "returned without reading or writing any stream"),
        ("thrown", "process 'thrower' threw: out of cheese"),
    ],
)
def test_wrong_use_is_a_fault(cases: Path, case: str, message: str) -> None:
    result = run(cases, case)
    assert result.returncode == 42 and result.fault is not None and result.fault.status == "misuse"
    assert message in result.fault.message


@pytest.mark.parametrize("value", ["many", "-1", "3x"])
def test_wrong_environment_is_a_fault(cases: Path, value: str) -> None:
    result = run(cases, "chain", INTAR_SIM_DEPTH=value)
    assert result.returncode == 42 and f"INTAR_SIM_DEPTH='{value}' is not a number" in result.stderr


def test_large_local_arrays_fit(cases: Path) -> None:
    assert run(cases, "stack").stdout == "7\n"


def test_too_little_stack_is_reported_not_ignored(cases: Path) -> None:
    with pytest.raises(ToolError, match="INTAR_SIM_STACK"):
        run(cases, "stack", INTAR_SIM_STACK=8)


def test_saturations_are_counted(cases: Path) -> None:
    result = run(cases, "saturation")
    assert result.stdout == f"{sum(min(i, 20) for i in range(30))} 9 0\n"
    assert result.stats is not None and result.stats.saturations == {7: 9}


def test_vectors(cases: Path) -> None:
    assert run(cases, "vectors").stdout == "10 21 32 63 1\n"


def test_stale_memory_shows_under_the_check_flags(strict_cases: Path) -> None:
    first, second = run(strict_cases, "uninitialised").stdout.split()
    assert first == "1" and second != "1"


def test_undefined_behaviour_ends_the_run(strict_cases: Path) -> None:
    assert run(strict_cases, "overflow", 0).ok
    result = run(strict_cases, "overflow", 1)
    assert result.returncode != 0 and "signed integer overflow" in result.stderr


@pytest.mark.parametrize("case", ["chain", "stack", "saturation", "vectors"])
def test_the_runtime_itself_is_free_of_undefined_behaviour(strict_cases: Path, case: str) -> None:
    assert run(strict_cases, case).ok


@pytest.mark.full
@pytest.mark.parametrize("standard", ["c++14", "c++17", "c++20"])
@pytest.mark.parametrize("level", ["-O0", "-O2", "-O3"])
def test_every_standard_and_optimisation(standard: str, level: str, tmp_path: Path) -> None:
    flags = [
        f"-std={standard}",
        level,
        "-Wall",
        "-Wextra",
        "-Werror",
        "-Wno-restrict",
    ]  # g++ 12 errs in <string>
    program = compile_csim([HERE / "cases.cpp"], [], tmp_path, flags)
    assert run(program, "chain").stdout == "59400\n"
    assert run(program, "exchange", 9).stdout == "36\n"
    assert run(program, "exchange", 10).returncode == 40


def test_benchmark_three_million_macs(tmp_path: Path, record_property: pytest.RecordProperty) -> None:
    program = compile_csim([HERE / "mlp.cpp"], [], tmp_path)
    bounded = run_csim(program, ["5"]).stdout.split()
    unbounded = run_csim(program, ["5"], {"INTAR_SIM_DEPTH": "inf"}).stdout.split()
    record_property("ms_depth_8", bounded[0])
    record_property("ms_unbounded", unbounded[0])
    assert bounded[1] == unbounded[1] == "0"
    assert float(bounded[0]) < 500, "ms of one inference; 25 to 45 on an idle core"
