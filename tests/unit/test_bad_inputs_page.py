"""docs/bad-inputs.md is the table that the cluster test runs."""

import re

import pytest

from finetune_operator.api.reason import Reason
from tests.cluster.bad_inputs import COMMAND, PAGE, BadInput, bad_inputs, page


def test_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), f"run `{COMMAND} --write`"


def test_names_differ() -> None:
    names = [case.name for case in bad_inputs()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("case", bad_inputs(), ids=lambda case: case.input)
def test_reason_is_one_of_those_explained(case: BadInput) -> None:
    assert case.reason in {reason.value for reason in Reason}
    assert re.fullmatch(case.pattern, case.message.replace("{registry}", "host:5000"))
