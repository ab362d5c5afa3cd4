"""The unit of work: one task on one row tile, in schedule order."""

from __future__ import annotations

from dataclasses import dataclass

from intar.ir.quantgraph import QMatmul, QProduct, QTask
from intar.lower.site import Site


@dataclass(frozen=True)
class Visit:
    """One task on rows ``row .. row+rows-1``; `stage` is its stage and `cores` where it runs.

    `follows`: takes its input column block by column block; `followed`: a task of the stage takes its output so.
    `by_rows`: the cores take rows of it instead of column blocks. `beats`: of each row of its first input it takes so many
    beats only; 0: all. `unit`: its rows node.
    """

    task: QTask
    stage: int
    cores: tuple[int, ...]
    resident: bool
    row: int
    rows: int
    follows: bool = False
    followed: bool = False
    by_rows: bool = False
    beats: int = 0
    unit: int = 0


def list_visits(site: Site) -> list[Visit]:
    """Every visit: stages in order, in a tiled stage row tile by row tile, in a tile the tasks in order.

    In an interleaved stage the tasks in front of the first matmul are a tile ahead: so the vector unit makes what the array
    needs next before it takes the array's results.
    """
    visits = []
    for index, stage in enumerate(site.schedule.stages):
        work = [(p, site.tasks[p.task]) for p in stage.tasks]
        rows = site.tensors[work[0][1].output].rows
        tile = stage.tile_rows or rows
        if any(site.tensors[t.output].rows != rows for _, t in work) or not stage.tile_rows:
            for p, t in work:
                total = site.tensors[t.output].rows
                by_rows = p.axis == "rows"
                visits.append(Visit(t, index, p.cores, p.resident, 0, total, by_rows=by_rows, unit=p.unit))
            continue
        followed = {t.inputs[0] for p, t in work if p.follows}
        matmuls = [n for n, (_, t) in enumerate(work) if isinstance(t, QMatmul | QProduct)]
        ahead = matmuls[0] if stage.pattern == "interleaved" and matmuls else 0
        for start in range(0, rows + tile, tile):
            for n, (p, t) in enumerate(work):
                row = start if n < ahead else start - tile
                if 0 <= row < rows:
                    height = min(tile, rows - row)
                    ends = (p.follows, t.output in followed)
                    by_rows = p.axis == "rows"
                    visits.append(
                        Visit(t, index, p.cores, p.resident, row, height, *ends, by_rows, unit=p.unit)
                    )
    return visits
