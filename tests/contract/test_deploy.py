"""What stands in cluster.yaml and deploy/: fits Ray's own schemas, names the pinned versions, shows our metrics."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.serve.schema import ServeDeploySchema

from aimat_ray.serving.settings import read_serving_settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
RAY = Path(ray.__file__).parent
LAUNCHER_FILES = [ROOT / "cluster.yaml", DEPLOY / "on-premise" / "cluster.yaml"]
KUBERNETES = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
TEXTS = [ROOT / "cluster.yaml", *(path for path in sorted(DEPLOY.rglob("*")) if path.is_file())]
PINS = dict(
    line.split("==")
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if line and not line.startswith("#")
)


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def kinds() -> dict[str, Any]:
    documents = [document for path in KUBERNETES for document in yaml.safe_load_all(path.read_text())]
    return {f"{document['kind']}/{document['metadata']['name']}": document for document in documents}


def clusters() -> list[Any]:
    found = kinds()
    return [
        found["RayJob/aimat-sweep"]["spec"]["rayClusterSpec"],
        found["RayService/aimat-properties"]["spec"]["rayClusterConfig"],
    ]


@pytest.mark.parametrize("path", LAUNCHER_FILES, ids=lambda path: path.parent.name)
def test_cluster_files_fit_rays_schema(path: Path) -> None:
    schema = json.loads((RAY / "autoscaler" / "ray-schema.json").read_text())
    jsonschema.validate(read(path), schema)


def test_ray_takes_the_on_premise_file() -> None:
    validate_config(prepare_config(read(LAUNCHER_FILES[1])))


def test_the_schema_refuses_what_is_wrong() -> None:
    schema = json.loads((RAY / "autoscaler" / "ray-schema.json").read_text())
    with pytest.raises(jsonschema.ValidationError, match="max_worker"):
        jsonschema.validate(read(LAUNCHER_FILES[0]) | {"max_worker": 3}, schema)


def test_node_types() -> None:
    config = read(LAUNCHER_FILES[0])
    types = config["available_node_types"]
    assert config["head_node_type"] in types
    head, cpu, gpu = types["head"], types["cpu_worker"], types["gpu_worker"]
    assert head["resources"]["CPU"] == 0  # no trial on the machine that all others depend on
    assert "InstanceMarketOptions" not in head["node_config"]
    assert cpu["min_workers"] <= cpu["max_workers"] <= config["max_workers"]
    assert cpu["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"
    assert gpu["max_workers"] == 0
    assert gpu["resources"]["GPU"] == 1


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_versions_are_the_pinned_ones(path: Path) -> None:
    text = path.read_text()
    images = re.findall(r"rayproject/ray:([\d.]+)-(py\d+)", text)
    named = re.findall(r"rayVersion: \"([\d.]+)\"|RAY_VERSION=([\d.]+)", text)
    python = re.search(r"requires-python = \">=(\d)\.(\d+)\"", (ROOT / "pyproject.toml").read_text())
    assert python is not None
    assert {version for version, _ in images} | {a or b for a, b in named} <= {PINS["ray"]}
    assert {tag for _, tag in images} <= {f"py{python[1]}{python[2]}"}
    assert not re.search(r"(ray|torch|numpy)(\[[^]]*\])?==\d", text)  # versions of packages stand in constraints.txt


def test_every_cluster_asks_for_a_token() -> None:
    for path in LAUNCHER_FILES:
        assert any("auth_token" in target for target in read(path)["file_mounts"])
    assert "--env RAY_AUTH_MODE=token" in read(LAUNCHER_FILES[0])["docker"]["run_options"]
    assert "RAY_AUTH_MODE=token" in (DEPLOY / "cluster.env").read_text().splitlines()
    for text in (LAUNCHER_FILES[1].read_text(), (DEPLOY / "slurm" / "sweep.sbatch").read_text()):
        assert "deploy/cluster.env" in text
    assert all(cluster["authOptions"] == {"mode": "token"} for cluster in clusters())


def test_pods_share_data_surrogates_and_sweeps() -> None:
    claim = kinds()["PersistentVolumeClaim/aimat-shared"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    for cluster in clusters():
        assert cluster["rayVersion"] == PINS["ray"]
        for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
            pod = group["template"]["spec"]
            (container,) = pod["containers"]
            environment = {item["name"]: item["value"] for item in container["env"]}
            mounts = {item["name"]: item["mountPath"] for item in container["volumeMounts"]}
            volumes = {item["name"]: item for item in pod["volumes"]}
            assert volumes["shared"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
            assert Path(environment["AIMAT_STORE"]).is_relative_to(mounts["shared"])
            assert set(mounts) == set(volumes)


def test_the_sweep_job_may_be_repeated() -> None:
    job = kinds()["RayJob/aimat-sweep"]["spec"]
    words = job["entrypoint"].split()
    assert words[:2] == ["aimat", "sweep"]
    assert (ROOT / words[2]).name == "bases.yaml"
    assert "--resume" in words
    assert job["backoffLimit"] > 0
    assert "--resume" in (DEPLOY / "slurm" / "sweep.sbatch").read_text()


def test_the_service_fits_serve_and_its_own_settings() -> None:
    spec = kinds()["RayService/aimat-properties"]["spec"]
    schema = ServeDeploySchema.model_validate(yaml.safe_load(spec["serveConfigV2"]))
    (application,) = schema.applications
    assert application.route_prefix is None  # nothing leads through Serve's proxy
    settings = read_serving_settings(application.args)
    (worker,) = spec["rayClusterConfig"]["workerGroupSpecs"]
    pod = worker["template"]
    (container,) = pod["spec"]["containers"]
    service = kinds()["Service/aimat-properties"]["spec"]
    assert service["ports"][0]["targetPort"] == settings.http.port == container["ports"][0]["containerPort"]
    assert container["readinessProbe"]["httpGet"]["port"] == settings.http.port != 8000  # 8000 is the proxy's
    assert service["selector"].items() <= pod["metadata"]["labels"].items()
    assert spec["rayClusterConfig"]["gcsFaultToleranceOptions"]["redisAddress"].split(":")[0] == "aimat-redis"


def test_slurm_script_is_a_script() -> None:
    script = DEPLOY / "slurm" / "sweep.sbatch"
    subprocess.run(["bash", "-n", str(script)], check=True)
    text = script.read_text()
    assert "#SBATCH --exclusive" in text  # symmetric-run ends with `ray stop`
    options = set(re.findall(r"(--[a-z-]+) ", text[text.index("ray symmetric-run") : text.index(" -- \\")]))
    assert options == {"--address", "--min-nodes", "--num-cpus"}


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_certificates_are_signed_and_name_their_host(tmp_path: Path) -> None:
    subprocess.run([DEPLOY / "tls" / "make-certificates.sh", tmp_path, "10.0.0.10", "node-b"], check=True)
    for host, flag in (("10.0.0.10", "-verify_ip"), ("node-b", "-verify_hostname")):
        command = ["openssl", "verify", "-CAfile", tmp_path / "ca.crt", flag, host, tmp_path / host / "node.crt"]
        assert "OK" in subprocess.run(command, check=True, capture_output=True, text=True).stdout
        assert (tmp_path / host / "node.key").stat().st_mode & 0o077 == 0
        assert (tmp_path / host / "ca.crt").read_bytes() == (tmp_path / "ca.crt").read_bytes()


def expressions() -> str:
    dashboard = json.loads((DEPLOY / "monitoring" / "grafana" / "dashboards" / "aimat.json").read_text())
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    return "\n".join(target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ()))


def test_dashboard_shows_every_metric_of_ours() -> None:
    source = (ROOT / "aimat_ray" / "serving" / "metrics.py").read_text()
    exported = set()
    for kind, name in re.findall(r"(Counter|Gauge|Histogram)\(\s*\"(aimat_\w+)\"", source):
        exported.add(f"ray_{name}" + {"Counter": "_total", "Gauge": "", "Histogram": ""}[kind])
    assert exported
    shown = {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"ray_aimat_\w+", expressions())}
    assert shown == exported


def test_other_metrics_are_those_of_rays_own_dashboards() -> None:
    folder = RAY / "dashboard" / "modules" / "metrics" / "dashboards"
    known = set(re.findall(r"\b(?:ray|autoscaler)_\w+", "\n".join(path.read_text() for path in folder.glob("*.py"))))
    used = {name for name in re.findall(r"\b(?:ray|autoscaler)_\w+", expressions()) if "aimat" not in name}
    assert len(used) > 10
    assert used <= known


def test_provisioning_finds_the_dashboard() -> None:
    folder = DEPLOY / "monitoring"
    (provider,) = read(folder / "grafana" / "provisioning" / "dashboards" / "aimat.yaml")["providers"]
    volumes = dict(item.split(":")[:2] for item in read(folder / "compose.yaml")["services"]["grafana"]["volumes"])
    places = {target: folder / source for source, target in volumes.items()}
    assert (places[provider["options"]["path"]] / "aimat.json").is_file()
    assert (places["/etc/grafana/provisioning"] / "datasources" / "prometheus.yaml").is_file()
