"""An operator at rest writes nothing: it tells what holds already."""

from typing import Any

import pytest

from finetune_operator.domain.applied import is_applied, stamped

WANTED = stamped(
    {
        "metadata": {"name": "a", "labels": {"app": "a"}},
        "spec": {"replicas": 1, "ports": [{"port": 80}], "volume": {"emptyDir": {}}, "env": ""},
    }
)


def live(**changes: Any) -> dict[str, Any]:
    spec = {
        "replicas": 1,
        "ports": [{"port": 80, "protocol": "TCP"}],
        "volume": {"emptyDir": {}},
        "filledIn": True,
    }
    return {**WANTED, "spec": spec | changes, "status": {"replicas": 1}}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(live(), True, id="defaults of the API server do not matter"),
        pytest.param(live(volume={"emptyDir": {"medium": "x"}}), True, id="nor inside of empty"),
        pytest.param(None, False, id="nothing there"),
        pytest.param(live(replicas=2), False, id="changed by somebody"),
        pytest.param(live(ports=[{"port": 80}, {"port": 81}]), False, id="added by somebody"),
        pytest.param(live() | {"metadata": {"name": "a"}}, False, id="never applied by us"),
        pytest.param(
            stamped({k: v for k, v in live().items() if k != "status"}),
            False,
            id="applied with more than is wanted now",
        ),
    ],
)
def test_is_applied(found: dict[str, Any] | None, expected: bool) -> None:
    assert is_applied(found, WANTED) is expected
