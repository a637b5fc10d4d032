"""service, networkpolicy, servicemonitor, and the way out of the cluster."""

from __future__ import annotations

from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_trainer.authorities import FOLDER
from tests.unit.chart.conftest import Object, Render, only
from tests.unit.chart.test_deployment import container, pod


def test_the_service_finds_the_pod_by_named_ports(objects: list[Object]) -> None:
    service = only(objects, "Service")["spec"]
    labels = only(objects, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert service["selector"].items() <= labels.items()
    ports = {port["port"]: port["targetPort"] for port in service["ports"]}
    assert ports == {8090: "progress", 8080: "metrics"}


def test_trainers_of_any_namespace_may_report_progress(objects: list[Object]) -> None:
    (ingress,) = only(objects, "NetworkPolicy")["spec"]["ingress"]
    assert ingress == {
        "from": [{"namespaceSelector": {}}],
        "ports": [{"port": "progress"}, {"port": "metrics"}],
    }


def test_the_operator_reaches_only_names_itself_and_the_api_server(render: Render) -> None:
    objects = render({"networkPolicy": {"apiServerPorts": [6443]}})
    policy = only(objects, "NetworkPolicy")
    ports = [port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]]
    assert ports == [53, 53, "progress", 6443]
    (to,) = (rule["to"] for rule in policy["spec"]["egress"] if "to" in rule)
    assert to == [{"podSelector": only(objects, "Deployment")["spec"]["selector"]}]
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]


def test_where_spans_are_sent_is_within_reach(render: Render) -> None:
    endpoint = "https://collector.observability.svc:4318/otlp"
    policy = only(render({"tracing": {"endpoint": endpoint}}), "NetworkPolicy")
    ports = [port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]]
    assert ports == [53, 53, "progress", 443, 6443, 4318]


def test_the_policy_can_be_left_out(render: Render) -> None:
    kinds = {item["kind"] for item in render({"networkPolicy": {"enabled": False}})}
    assert "NetworkPolicy" not in kinds


def test_the_service_monitor_is_off_by_default(objects: list[Object]) -> None:
    assert "ServiceMonitor" not in {item["kind"] for item in objects}


def test_the_service_monitor_reads_the_metrics_port(render: Render) -> None:
    values = {"enabled": True, "intervalSeconds": 15, "labels": {"release": "prometheus"}}
    monitor = only(render({"serviceMonitor": values}), "ServiceMonitor")
    assert monitor["spec"]["endpoints"] == [
        {"port": "metrics", "honorLabels": True, "interval": "15s"}
    ]
    assert monitor["metadata"]["labels"]["release"] == "prometheus"


COMPANY = {
    "network": {
        "proxy": {"https": "http://proxy.example.com:3128", "noProxy": [".example.com"]},
        "certificateAuthorities": {"configMapName": "company"},
        "hub": {"endpoint": "https://hub.example.com"},
    }
}


def test_the_operator_asks_outside_through_the_proxy_and_the_api_server_directly(
    render: Render,
) -> None:
    objects = render(COMPANY)
    env = {each["name"]: each.get("value") for each in container(objects)["env"]}
    assert env["HTTPS_PROXY"] == "http://proxy.example.com:3128"
    assert "HTTP_PROXY" not in env
    direct = env["NO_PROXY"].split(",")
    assert direct[0] == "$(KUBERNETES_SERVICE_HOST)"
    assert {".svc", ".example.com"} <= set(direct)
    policy = only(objects, "NetworkPolicy")
    ports = [port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]]
    assert ports == [53, 53, "progress", 443, 6443, 3128]


def test_the_operator_trusts_the_companys_authorities(render: Render) -> None:
    objects = render(COMPANY)
    (volume,) = (each for each in pod(objects)["volumes"] if each["name"] == "authorities")
    assert volume["configMap"] == {"name": "company"}
    mounts = {each["name"]: each["mountPath"] for each in container(objects)["volumeMounts"]}
    assert mounts["authorities"] == str(FOLDER)


def test_the_class_and_so_every_job_gets_the_same(render: Render) -> None:
    spec = FineTuneClass.model_validate(only(render(COMPANY), "FineTuneClass")).spec
    assert spec.network.to_dict() == COMPANY["network"]


def test_without_a_proxy_there_is_no_word_of_one(objects: list[Object]) -> None:
    assert not [each for each in container(objects)["env"] if "PROXY" in each["name"]]
    spec = FineTuneClass.model_validate(only(objects, "FineTuneClass")).spec
    assert spec.network.to_dict() == {}
