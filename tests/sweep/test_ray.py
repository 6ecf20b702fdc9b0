"""The same sweep on a Ray cluster: one table, and a worker that dies costs nothing."""

import contextlib
import os
import sys
import threading

import psutil
import pytest

from effwb import sweep
from effwb.errors import ConfigError, EngineError
from effwb.sweep import cluster
from tests.sweep.test_grid import QUIET, attempts, rewrite, start, tiny, wait_for  # noqa: F401

pytestmark = pytest.mark.long  # every test starts kernels or a cluster

ray = pytest.importorskip("ray", reason="Ray is not installed (pip install 'effwb[cluster]')")


@pytest.fixture(scope="module")
def connected():
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield ray
    ray.shutdown()


def test_the_table_is_that_of_a_sweep_without_ray(connected, tiny, tmp_path):  # noqa: F811
    axes = {"number": [1, 2, 13]}
    on_ray = sweep.run(tiny, axes, tmp_path / "ray", ray=True, **QUIET)
    local = sweep.run(tiny, axes, tmp_path / "here", jobs=2, **QUIET)
    same = [column for column in local if column not in ("seconds", "cores")]  # Ray does not pin
    assert on_ray["status"].tolist() == ["done", "done", "failed"]
    assert "thirteen is unlucky" in on_ray["error"].iloc[-1]
    assert on_ray[same].equals(local[same])
    again = sweep.run(tiny, axes, tmp_path / "ray", ray=True, **QUIET)
    assert again.equals(on_ray)
    assert attempts(tmp_path / "ray", "number=1") == ["1"]


def test_a_point_whose_worker_died_is_run_again(connected, tiny, tmp_path):  # noqa: F811
    out, gate = tmp_path / "out", tmp_path / "gate"
    rewrite(tiny, "print(", f"Path({str(gate)!r}).exists() or Path('{tmp_path}/worker').touch(); print(")
    fixed = {"anything": "wait", "name": str(gate)}
    killed = []

    def kill_once():
        """From outside, as soon as the point works: its worker, or the process of the point below it."""
        wait_for(lambda: list(out.glob("*/runs/attempts")))
        point = next(p for p in psutil.process_iter() if "effwb.sweep.child" in " ".join(_command(p)))
        killed.append(point.parent().name())
        point.parent().kill()
        wait_for(lambda: len(attempts(out, "number=3")) == 2)
        gate.touch()

    killer = threading.Thread(target=kill_once)
    killer.start()
    table = sweep.run(tiny, {"number": [3]}, out, fixed=fixed, ray=True, **QUIET)
    killer.join()
    assert killed[0].startswith("ray::")
    assert table["status"].tolist() == ["done"]
    assert table["square"].tolist() == [9]
    assert attempts(out, "number=3") == ["3", "3"]


def _command(process) -> list[str]:
    with contextlib.suppress(psutil.Error):
        return process.cmdline()
    return []


def test_what_a_point_needs(monkeypatch):
    class Cluster:
        @staticmethod
        def nodes():
            return [
                {"Alive": True, "Resources": {"CPU": 32.0, "GPU": 4.0}},
                {"Alive": True, "Resources": {"CPU": 64.0}},
                {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}},
            ]

    assert cluster.resources_per_point(Cluster, None, 2) == {"num_gpus": 2, "num_cpus": 32}
    with pytest.raises(ConfigError, match="no machine of the cluster has more than 4"):
        cluster.resources_per_point(Cluster, None, 8)
    monkeypatch.setattr(Cluster, "nodes", lambda: [{"Alive": True, "Resources": {"CPU": 8.0}}])
    assert cluster.resources_per_point(Cluster, None, 1) == {"num_cpus": 1}
    assert cluster.resources_per_point(Cluster, 3, 1) == {"num_cpus": 2}


def test_a_directory_that_a_machine_does_not_see(tmp_path):
    with pytest.raises(ConfigError, match="on a disk that every machine"):
        cluster._run_on_worker(str(tmp_path / "nowhere"), os.getcwd())


def test_without_ray_or_a_cluster(monkeypatch, tmp_path):
    ray.shutdown()
    with (
        pytest.raises(EngineError, match=r"no Ray cluster at 127\.0\.0\.1:1"),
        cluster.connect("127.0.0.1:1"),
    ):
        pass
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(EngineError, match=r"effwb\[cluster\]"), cluster.connect():
        pass
