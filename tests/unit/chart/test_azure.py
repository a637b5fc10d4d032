from __future__ import annotations

from tests.unit.chart.conftest import Object, Render, only

CLIENT = "22222222-2222-2222-2222-222222222222"


def pod_template(objects: list[Object]) -> Object:
    template: Object = only(objects, "Deployment")["spec"]["template"]
    return template


def test_the_operator_has_a_workload_identity_where_one_is_named(render: Render) -> None:
    objects = render({"azure": {"clientId": CLIENT, "cloud": "AZURE_US_GOVERNMENT"}})
    account = only(objects, "ServiceAccount")["metadata"]
    assert account["annotations"] == {"azure.workload.identity/client-id": CLIENT}
    template = pod_template(objects)
    assert template["metadata"]["labels"]["azure.workload.identity/use"] == "true"
    environment = template["spec"]["containers"][0]["env"]
    assert {"name": "AZURE_SDK_CLOUD_CONF", "value": "AZURE_US_GOVERNMENT"} in environment


def test_it_has_none_otherwise(objects: list[Object]) -> None:
    assert "annotations" not in only(objects, "ServiceAccount")["metadata"]
    made = str(pod_template(objects))
    assert "azure.workload.identity" not in made
    assert "AZURE_" not in made
