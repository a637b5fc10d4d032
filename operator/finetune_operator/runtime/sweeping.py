"""Ends what costs and nobody will give back, now and then, for as long as the operator runs."""

import asyncio
import logging

from pydantic import ValidationError

from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_operator.api.provisioner import ProvisionerType
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
            _log.warning("looking for agent pools without a job: %s", error)


async def sweep_once(tools: Tools) -> None:
    """Every class that has agent pools made.

    Raises:
        ApiError: the API server does not tell which classes or jobs there are.
    """
    for each in await tools.client.list_objects(FINE_TUNE_CLASS):
        try:
            its_class = FineTuneClass.from_stored(each)
        except ValidationError as error:
            _log.error("not a FineTuneClass that this version understands: %s", error)
            continue
        if its_class.spec.provisioner.type is not ProvisionerType.AKS:
            continue
        for found in await tools.provisioners.aks.leftovers(tools.client, its_class):
            _log.warning("agent pool %s is given back: %s", found.pool, found.why)
            for action in found.actions:
                await carry_out(tools, action)
