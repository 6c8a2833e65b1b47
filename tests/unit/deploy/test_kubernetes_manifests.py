"""deploy/k8s against the schemas of Kubernetes, and against what the programs do."""

import asyncio

import kubernetes_validate
import pytest
import yaml

from engine.service.limits import memory_of_models
from engine.service.settings import read_settings
from engine.service.worker import FINISH_SECONDS
from setup_steps.paths import DOCKER_DIR, ROOT

K8S = ROOT / "deploy" / "k8s"
VERSIONS = ("1.31.0", "1.34.0", kubernetes_validate.latest_version())
WORKER, SERVER = "worker-deployment.yaml", "api-deployment.yaml"
SECRETS = {"ENGINE_TOKEN": "a-token-of-some-length"}


def resources(name):
    return {one["kind"]: one for one in yaml.safe_load_all((K8S / name).read_text())}


def pod(name):
    spec = resources(name)["Deployment"]["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    return spec, container


def environment(container):
    return {
        entry["name"]: entry.get("value") or SECRETS[entry["name"]] for entry in container["env"]
    }


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("path", sorted(K8S.glob("*.yaml")), ids=lambda path: path.name)
def test_manifests_fit_the_published_schemas(path, version):
    documents = [*yaml.safe_load_all(path.read_text())]
    assert len(documents) > 3
    for document in documents:
        kubernetes_validate.validate(document, version, strict=True)


def test_a_mistake_would_be_noticed():
    deployment = resources(WORKER)["Deployment"]
    deployment["spec"]["template"]["spec"]["containers"][0]["prots"] = []
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("name", [WORKER, SERVER])
def test_pods_have_no_rights_and_answer_probes(name):
    spec, container = pod(name)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == 1000
    assert spec["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    probes = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness")}
    assert all(probe == {"path": "/health", "port": "http"} for probe in probes.values())
    assert container["readinessProbe"]["httpGet"] == {"path": "/ready", "port": "http"}
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in spec["volumes"]}


@pytest.mark.parametrize("name", [WORKER, SERVER])
def test_services_and_selectors_meet_their_pods(name):
    found = resources(name)
    labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert found["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert found["Service"]["spec"]["selector"] == labels
    (port,) = found["Service"]["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (80, "http")


def test_the_worker_is_scaled():
    found = resources(WORKER)
    assert found["Deployment"]["spec"]["replicas"] == 3
    _, container = pod(WORKER)
    assert container["resources"] == {
        "requests": {"cpu": "1", "memory": "2Gi"},
        "limits": {"cpu": "2", "memory": "4Gi"},
    }
    spec = found["HorizontalPodAutoscaler"]["spec"]
    assert spec["scaleTargetRef"]["name"] == found["Deployment"]["metadata"]["name"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (3, 10)
    targets = {
        metric["resource"]["name"]: metric["resource"]["target"]["averageUtilization"]
        for metric in spec["metrics"]
    }
    assert targets == {"cpu": 70, "memory": 80}


def test_the_worker_reads_its_settings_and_has_time_to_end():
    spec, container = pod(WORKER)
    settings = read_settings(environment(container), 4 << 30)
    assert not settings.access.is_open
    assert settings.memory == memory_of_models(4 << 30)
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pause + settings.grace + FINISH_SECONDS < spec["terminationGracePeriodSeconds"]


def test_the_ports_are_those_of_the_image():
    dockerfile = (DOCKER_DIR / "worker.Dockerfile").read_text()
    _, container = pod(WORKER)
    (port,) = container["ports"]
    assert f"EXPOSE {port['containerPort']}\n" in dockerfile
    assert f"PORT={port['containerPort']}\n" in dockerfile
    assert "USER 1000:1000\n" in dockerfile


def test_the_server_is_one():
    found = resources(SERVER)
    assert "HorizontalPodAutoscaler" not in found
    spec = found["Deployment"]["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    assert found["PersistentVolumeClaim"]["spec"]["accessModes"] == ["ReadWriteOnce"]


def test_the_server_reads_its_settings(monkeypatch):
    from ci_server.wiring.access import has_identities
    from ci_server.wiring.instance import load_settings

    _, container = pod(SERVER)
    variables = environment(container)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert asyncio.run(has_identities(settings))
    assert str(settings.db_path) == variables["CI_DB_PATH"]
    command = container["command"]
    assert int(command[command.index("--port") + 1]) == container["ports"][0]["containerPort"]


def test_streams_pass_the_ingress_as_they_come():
    notes = resources(SERVER)["Ingress"]["metadata"]["annotations"]
    found = {name.rpartition("/")[2]: value for name, value in notes.items()}
    assert found["proxy-buffering"] == found["proxy-request-buffering"] == "off"
    assert int(found["proxy-read-timeout"]) >= 3600
