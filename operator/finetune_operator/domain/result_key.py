"""The key of a result: equal where the same would be trained again, and by nothing else.

What names stand for counts, not the names: the model's commit or digest, the data's digest, and the
digest of the image that trains, whose libraries decide the numbers too.
"""

import hashlib
import json

from finetune_operator.api.fine_tune_job_status import Resolved
from finetune_trainer.recipe import Recipe


def result_key(recipe: Recipe, resolved: Resolved) -> str | None:
    """`sha256:…`; None where something that decides the result is known by a name only, which may
    stand for something else tomorrow."""
    image = (resolved.trainer_image or "").partition("@")[2]
    if not (image and resolved.model_revision and resolved.dataset_digest):
        return None
    if recipe.model.adapter_uri and not resolved.adapter_revision:
        return None
    deciding = {
        "recipe": recipe.result_digest(),
        "model": resolved.model_revision,
        "adapter": resolved.adapter_revision,
        "data": resolved.dataset_digest,
        "trainer": image,
    }
    text = json.dumps(deciding, sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
