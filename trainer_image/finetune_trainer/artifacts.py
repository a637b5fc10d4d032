"""Which images a result is pushed as, under which names, and what is told of it."""

import dataclasses
import hashlib

from finetune_trainer.errors import ConfigurationError
from finetune_trainer.manifest import ArtifactKind, CompletionManifest, Trained
from finetune_trainer.oci.reference import ImageReference
from finetune_trainer.recipe import Export, Recipe


def destination(uri: str) -> ImageReference:
    """What `spec.output.storageUri` names.

    Raises:
        ConfigurationError: it is no name, or one that nothing can be given.
    """
    image = ImageReference.parse(uri)
    if image.digest:
        raise ConfigurationError(
            f"spec.output.storageUri: {uri} ends in a digest; give a tag, the digest is the result"
        )
    return image


def repository(image: ImageReference) -> str:
    """oci://host/repository"""
    return image.uri.removesuffix(f":{image.tag}")


def kinds(recipe: Recipe, completion: CompletionManifest) -> list[ArtifactKind]:
    """What was trained comes first: it is what is served."""
    trained = [completion.kind] if Export.ADAPTER in recipe.output.exports else []
    return [*trained, *(ArtifactKind(each.value) for each in recipe.output.conversions)]


def named(
    image: ImageReference, kind: ArtifactKind, completion: CompletionManifest
) -> ImageReference:
    """What was trained gets the tag as given; of everything else it ends in its folder's name."""
    suffix = "" if kind is completion.kind else f"-{kind.folder}"
    return dataclasses.replace(image, tag=image.tag + suffix)


def trained_of(completion: CompletionManifest, content: bytes) -> Trained:
    """What `train` has said of it.

    Args:
        content: completion.json, which `completion` was read from.
    """
    return Trained(
        step=completion.step,
        total_steps=completion.total_steps,
        best=completion.best,
        loss=completion.loss,
        evaluation=completion.evaluation,
        completion_digest="sha256:" + hashlib.sha256(content).hexdigest(),
    )
