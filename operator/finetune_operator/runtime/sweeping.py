"""Ends what costs and nobody will give back, now and then, for as long as the operator runs."""

import asyncio
import logging

from pydantic import ValidationError

from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_operator.cluster.errors import ApiError
from finetune_operator.domain.kinds import FINE_TUNE_CLASS
from finetune_operator.runtime.acting import carry_out
from finetune_operator.runtime.tools import Tools

SWEEP_SECONDS = 60.0

_log = logging.getLogger(__name__)


async def sweep(tools: Tools) -> None:
    """Runs for ever; what fails is tried again the next time."""
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        try:
            await sweep_once(tools)
        except ApiError as error:
            _log.warning("looking for nodes without a job: %s", error)


async def sweep_once(tools: Tools) -> None:
    """What classes get nodes of, one after the other.

    Raises:
        ApiError: the API server does not tell which classes there are.
    """
    for each in await tools.client.list_objects(FINE_TUNE_CLASS):
        try:
            its_class = FineTuneClass.from_stored(each)
        except ValidationError as error:
            _log.error("not a FineTuneClass that this version understands: %s", error)
            continue
        try:
            await _sweep(tools, its_class)
        except ApiError as error:
            _log.warning(
                "looking for nodes without a job, of FineTuneClass %s: %s",
                its_class.metadata.name,
                error,
            )


async def _sweep(tools: Tools, its_class: FineTuneClass) -> None:
    provisioner = tools.provisioners[its_class.spec.provisioner.type]
    for found in await provisioner.leftovers(tools.client, its_class):
        _log.warning("%s %s is given back: %s", found.kind, found.name, found.why)
        for action in found.actions:
            await carry_out(tools, action)
