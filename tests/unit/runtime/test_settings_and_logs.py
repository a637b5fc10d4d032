"""Settings come from variables that the chart writes; logs name the object."""

from __future__ import annotations

import json
import logging

import pytest
from pydantic import ValidationError

from finetune_operator.runtime.logs import JsonFormatter, about
from finetune_operator.runtime.settings import Settings


def test_settings_are_read_from_the_environment() -> None:
    given = {"FINETUNE_PROBE_PORT": "1", "FINETUNE_RESYNC_SECONDS": "2.5", "PATH": "/bin"}
    settings = Settings.from_environment(given)
    assert (settings.probe_port, settings.resync_seconds) == (1, 2.5)


@pytest.mark.parametrize(
    "given",
    [
        {"FINETUNE_PROBEPORT": "1"},
        {"FINETUNE_PROBE_PORT": "no"},
        {"FINETUNE_LOG_LEVEL": "LOUD"},
        {"FINETUNE_LEASE": "without-namespace"},
        {"FINETUNE_LEASE": "system/operator", "FINETUNE_POD_NAME": "operator-0"},
    ],
)
def test_what_is_not_understood_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Settings.from_environment(given)


def test_a_line_names_the_object_that_was_worked_on() -> None:
    record = logging.LogRecord("here", logging.INFO, "f", 1, "applied %s", ("Job",), None)
    with about("FineTuneJob", "team/chat"):
        line = json.loads(JsonFormatter().format(record))
    assert (line["kind"], line["object"]) == ("FineTuneJob", "team/chat")
    with about("FineTuneJob", "team/chat"):
        assert json.loads(JsonFormatter().format(record))["reconcile"] != line["reconcile"]
    assert (line["level"], line["message"]) == ("info", "applied Job")
    assert "object" not in json.loads(JsonFormatter().format(record))
