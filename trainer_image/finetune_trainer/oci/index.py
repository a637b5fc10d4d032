"""An OCI index: one name for several images, which no registry takes for unused while it has one.

The images have to be in the repository before; the index itself is a few hundred bytes.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from finetune_trainer.oci.layout import MANIFEST_TYPE

INDEX_TYPE = "application/vnd.oci.image.index.v1+json"


class _Read(BaseModel):
    """Of what others may have written: what is not known is passed over."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)


class Member(_Read):
    """One image of an index."""

    media_type: str = MANIFEST_TYPE
    digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
    """Of its manifest."""
    size: int
    """Of its manifest, in bytes."""
    annotations: dict[str, str] = Field(default_factory=dict)


class Index(_Read):
    """Images under one name."""

    media_type: str = INDEX_TYPE
    manifests: list[Member]
    annotations: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True)
class PackedIndex:
    """An index in an OCI layout folder, without the images that it names."""

    layout: Path
    digest: str


def pack_index(
    members: Sequence[Member], annotations: Mapping[str, str], layout: Path
) -> PackedIndex:
    """Write an index into the new folder `layout`; the same arguments give the same digest."""
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    index = Index(manifests=list(members), annotations=dict(annotations))
    content = {"schemaVersion": 2, **index.model_dump(by_alias=True)}
    text = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    digest = hashlib.sha256(text).hexdigest()
    (blobs / digest).write_bytes(text)
    named = {"mediaType": INDEX_TYPE, "digest": f"sha256:{digest}", "size": len(text)}
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [named]}))
    (layout / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))
    return PackedIndex(layout, f"sha256:{digest}")
