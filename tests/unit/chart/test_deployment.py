from __future__ import annotations

from finetune_operator.runtime.settings import Settings
from tests.unit.chart.conftest import NAMESPACE, OPERATOR, Object, Render, only


def pod(objects: list[Object]) -> Object:
    spec: Object = only(objects, "Deployment")["spec"]["template"]["spec"]
    return spec


def container(objects: list[Object]) -> Object:
    (found,) = pod(objects)["containers"]
    return dict(found)


def test_it_satisfies_the_restricted_profile(objects: list[Object]) -> None:
    assert pod(objects)["securityContext"]["runAsNonRoot"] is True
    assert pod(objects)["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container(objects)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_a_new_operator_stands_by_before_the_old_one_ends(objects: list[Object]) -> None:
    spec = only(objects, "Deployment")["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
    }


def test_two_replicas_avoid_each_other_and_leave_one_at_a_time(render: Render) -> None:
    objects = render({"replicas": 2})
    assert only(objects, "Deployment")["spec"]["replicas"] == 2
    rules = pod(objects)["affinity"]["podAntiAffinity"]
    (apart,) = rules["preferredDuringSchedulingIgnoredDuringExecution"]
    assert apart["podAffinityTerm"]["topologyKey"] == "kubernetes.io/hostname"
    budget = only(objects, "PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] == 1
    labels = only(objects, "Deployment")["spec"]["template"]["metadata"]["labels"].items()
    for selector in (budget["selector"], apart["podAffinityTerm"]["labelSelector"]):
        assert selector["matchLabels"].items() <= labels


def test_a_single_replica_keeps_no_node_from_being_drained(objects: list[Object]) -> None:
    assert "PodDisruptionBudget" not in {each["kind"] for each in objects}


def test_an_affinity_that_is_given_is_the_only_one(render: Render) -> None:
    given = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}
    assert pod(render({"affinity": given}))["affinity"] == given


def test_the_image_is_named_by_digest(objects: list[Object]) -> None:
    assert container(objects)["image"] == OPERATOR


def test_the_operator_understands_every_variable(objects: list[Object]) -> None:
    fields = {"metadata.name": "finetune-operator-0", "status.podIP": "10.0.0.7"}
    environment = {
        item["name"]: item["value"]
        if "value" in item
        else fields[item["valueFrom"]["fieldRef"]["fieldPath"]]
        for item in container(objects)["env"]
    }
    settings = Settings.from_environment(environment)
    assert settings.progress_url == f"http://finetune-operator.{NAMESPACE}.svc:8090"
    assert settings.lease == f"{NAMESPACE}/finetune-operator"
    assert (settings.pod_name, str(settings.pod_ip)) == tuple(fields.values())
    assert settings.retail_prices_url == Settings().retail_prices_url


def test_no_prices_are_asked_for_where_nobody_may_be_asked(render: Render) -> None:
    (variable,) = (
        each
        for each in container(render({"retailPricesURL": ""}))["env"]
        if each["name"] == "FINETUNE_RETAIL_PRICES_URL"
    )
    assert Settings.from_environment({variable["name"]: variable["value"]}).retail_prices_url == ""


def test_spans_are_made_only_for_an_endpoint(objects: list[Object], render: Render) -> None:
    assert not [each for each in container(objects)["env"] if each["name"].startswith("OTEL_")]
    endpoint = "http://collector.observability.svc:4318"
    environment = container(render({"tracing": {"endpoint": endpoint}}))["env"]
    assert {"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": endpoint} in environment


def test_no_variable_of_a_service_reaches_the_settings(objects: list[Object]) -> None:
    assert pod(objects)["enableServiceLinks"] is False


def test_ports_are_those_that_the_operator_opens(objects: list[Object]) -> None:
    ports = {item["name"]: item["containerPort"] for item in container(objects)["ports"]}
    settings = Settings.from_environment({})
    assert ports == {
        "metrics": settings.metrics_port,
        "probes": settings.probe_port,
        "progress": settings.progress_port,
    }


def test_a_stuck_loop_fails_the_probes(objects: list[Object]) -> None:
    assert container(objects)["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "probes"}
    assert container(objects)["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "probes"}


def test_placement_is_passed_on(render: Render) -> None:
    objects = render(
        {
            "nodeSelector": {"pool": "system"},
            "tolerations": [{"key": "CriticalAddonsOnly", "operator": "Exists"}],
            "priorityClassName": "system-cluster-critical",
        }
    )
    assert pod(objects)["nodeSelector"] == {"pool": "system"}
    assert pod(objects)["tolerations"] == [{"key": "CriticalAddonsOnly", "operator": "Exists"}]
    assert pod(objects)["priorityClassName"] == "system-cluster-critical"
