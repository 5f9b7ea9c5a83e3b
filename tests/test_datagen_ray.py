"""The same bytes from a Ray cluster, also when one of its nodes is killed in the middle."""

import importlib.util

import pytest

from datagen.progress import silent
from tests.datagen_doubles import digests
from tests.test_datagen_generate import config, run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed: demomill[ray]"),
]
JOB = {"episodes": 120, "val_episodes": 8, "failures": 6, "unit_episodes": 16, "image_size": 64}


@pytest.fixture
def cluster(monkeypatch):
    from datagen.ray_pool import without_arrow

    without_arrow()
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    monkeypatch.setenv("RAY_ADDRESS", made.address)
    yield made
    made.shutdown()


def test_one_of_two_nodes_dies_in_the_middle_and_no_byte_changes(cluster, tmp_path):
    run(config(tmp_path / "local", **JOB))
    node = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    killed = []

    def kill_a_node(progress):
        if progress.written >= 20 and not killed:
            killed.append(progress.written)
            cluster.remove_node(node, allow_graceful=False)

    run(config(tmp_path / "ray", executor="ray", workers=None, **JOB), progress=kill_a_node)
    assert killed
    assert killed[0] < 120
    assert digests(tmp_path / "ray") == digests(tmp_path / "local")


def test_a_job_begun_locally_continues_on_a_cluster(cluster, tmp_path):
    run(config(tmp_path / "local", **JOB))

    def stop(progress):
        if progress.written >= 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(config(tmp_path / "moved", **JOB), progress=stop)
    run(config(tmp_path / "moved", executor="ray", **JOB), progress=silent)
    assert digests(tmp_path / "moved") == digests(tmp_path / "local")
