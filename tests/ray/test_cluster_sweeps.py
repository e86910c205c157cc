"""Sweeps on several Ray nodes: they die, they join late, and one run spans two of them."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from design_runs import AIMAT, Started, checkpoints, run, small_sweep
from small_cluster import cluster_of

from aimat_ray.sweep.attempts import read_attempts

pytestmark = pytest.mark.timeout(1500)


def test_the_runners_of_one_run_are_on_two_nodes(tmp_path: Path) -> None:
    file = small_sweep(tmp_path / "sweep.yaml", steps=400, bases=["Zr"], tuning_episodes=0, runners=2)
    out = tmp_path / "out"
    with cluster_of(1, 1, head_cpus=1) as (cluster, _):
        command = [AIMAT, "sweep", str(file), "--out", str(out), "--address", cluster.address, "--json"]
        document = json.loads(run(command).stdout)
    assert (document["cases"], document["finished"]) == (1, 1)
    (attempt,) = read_attempts(out / "runs" / "Zr-s0")
    assert len({attempt["node"], *attempt["runner_nodes"]}) == 3, "one core each: the run and its two runners"
    rows = pd.read_parquet(out / "runs" / "Zr-s0" / "metrics.parquet")
    assert rows["env_steps"].max() >= 400


@pytest.mark.slow
def test_a_node_dies_and_another_joins(tmp_path: Path) -> None:
    file = small_sweep(tmp_path / "sweep.yaml", steps=3_000, bases=["Zr", "Cu", "Fe"])
    out = tmp_path / "out"
    runs = out / "runs"
    with cluster_of(1, 1) as (cluster, (stays, dies)):
        started = Started([AIMAT, "sweep", str(file), "--out", str(out), "--address", cluster.address], tmp_path)
        started.wait_for(lambda: sum(bool(checkpoints(path)) for path in runs.glob("*")) == 2)
        (lost,) = (path for path in runs.iterdir() if read_attempts(path)[-1]["node"] == dies.node_id)
        assert not (lost / "evaluation.json").exists()
        newest = int(checkpoints(lost)[-1].name)
        cluster.remove_node(dies, allow_graceful=False)
        late = cluster.add_node(num_cpus=1)
        assert started.process.wait(timeout=1000) == 0, started.stderr()
    names = {path.name for path in runs.iterdir()}
    assert names == {"Zr-s0", "Cu-s0", "Fe-s0"}
    table = pd.read_parquet(out / "runs.parquet").set_index("run")
    assert (table["status"] == "finished").all()
    assert table.loc[lost.name, "attempts"] == 2
    first, second = read_attempts(lost)
    assert first["node"] == dies.node_id and second["node"] in (stays.node_id, late.node_id)
    used = {attempt["node"] for name in names for attempt in read_attempts(runs / name)}
    assert late.node_id in used, "the node that joined late works too"
    rows = pd.read_parquet(lost / "metrics.parquet")
    assert rows["env_steps"].is_unique and rows["env_steps"].is_monotonic_increasing
    assert rows["env_steps"].max() >= 3_000 > newest
    for name in names - {lost.name}:
        assert len(read_attempts(runs / name)) == 1, "only what was lost is repeated"
