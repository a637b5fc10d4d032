"""What a user is told when the cluster cannot be reached or does not allow it."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from finetune_operator import cli
from finetune_operator.cli import access
from finetune_operator.cli.access import Access
from finetune_operator.cli.refusals import Refused
from finetune_operator.cluster import errors
from finetune_operator.domain.kinds import FINE_TUNE_JOB
from finetune_trainer.exit_codes import ExitCode
from tests.unit.cluster.test_kubeconfig import write


@pytest.mark.parametrize(
    ("error", "said", "advice", "code"),
    [
        (
            errors.ForbiddenError('User "ada" cannot list resource "finetunejobs"', 403),
            'User "ada" cannot list resource "finetunejobs"',
            "ask for a role",
            ExitCode.CREDENTIALS_REFUSED,
        ),
        (
            errors.UnauthorizedError("Unauthorized", 401),
            "does not know you (Unauthorized)",
            "log in again",
            ExitCode.CREDENTIALS_REFUSED,
        ),
        (
            errors.NotFoundError("the server could not find the requested resource", 404),
            "knows no FineTuneJob",
            "install the operator",
            ExitCode.CONFIGURATION_ERROR,
        ),
        (
            errors.UnavailableError("GET /: connection refused"),
            "does not answer (GET /: connection refused)",
            "choose another --context",
            ExitCode.UNAVAILABLE,
        ),
        (
            errors.RefusedError("suspend: must be a boolean", 422),
            "suspend: must be a boolean",
            "",
            ExitCode.CONFIGURATION_ERROR,
        ),
    ],
)
def test_each_error_is_one_line_with_what_to_do(
    error: errors.ApiError, said: str, advice: str, code: ExitCode
) -> None:
    refused = access.explained(error)
    (refusal,) = refused.refusals
    assert said in refusal.message
    assert advice in refusal.message
    assert "\n" not in refusal.message
    assert refused.code == code


def test_without_a_kubeconfig(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = cli.main(["list", "--kubeconfig", str(tmp_path / "none")])
    told = capsys.readouterr()
    assert code == ExitCode.CONFIGURATION_ERROR
    assert told.out == ""
    assert told.err.startswith("refused  no cluster to speak to (")
    assert told.err.count("\n") == 1


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    async def work(given: Access) -> int:
        await given.client.list_objects(FINE_TUNE_JOB, given.namespace)
        return 0

    config = write(tmp_path, server="http://127.0.0.1:1")
    arguments = argparse.Namespace(kubeconfig=config, context=None, namespace=None)
    with pytest.raises(Refused, match="the API server does not answer") as refused:
        access.in_cluster(arguments, work, 0.2)
    assert refused.value.code == ExitCode.UNAVAILABLE
