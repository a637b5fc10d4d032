"""An image of two megabytes whose `python -m finetune_trainer` plays the trainer, for tests of what
surrounds it: real pods, real logs and real signals, and nothing that computes.

It fetches, checks and publishes at once. What `train` does, the variable PLAY of the job's
podTemplate says: `wait` goes on until it is told to go, `fail` fails once, `bad-data` for good.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

from finetune_trainer.exit_codes import ExitCode
from finetune_trainer.manifest import Failure
from finetune_trainer.oci.layout import CONFIG_TYPE, LAYER_TYPE, MANIFEST_TYPE, PackedImage
from finetune_trainer.oci.reference import ImageReference
from finetune_trainer.oci.registry import Registry
from tests.cluster.simulation import trainer

STEPS = 3
SAVED_STEP = 2
_SAVED = Failure(reason="Preempted", message="a checkpoint is saved", step=SAVED_STEP)
_BAD = Failure(reason="DataError", message="train.jsonl line 7: no field messages: write one")

_SCRIPT = f"""#!/bin/sh
end() {{ echo "$2"; printf '%s' "$3" > /dev/termination-log; exit "$1"; }}
case "$3" in
fetch) end 0 "fetched" '{trainer.FETCHED}' ;;
check) end 0 "checked" '{trainer.CHECKED}' ;;
reuse) end 0 "nothing found" '{trainer.LOOKED}' ;;
publish) end 0 "pushed" '{trainer.PUBLISHED}' ;;
esac
trap 'end {ExitCode.PREEMPTED:d} "saving a checkpoint" '"'"'{_SAVED.model_dump_json()}'"'" TERM
for step in $(seq {STEPS}); do echo "attempt $FINETUNE_ATTEMPT step $step/{STEPS}"; done
case "$PLAY$FINETUNE_ATTEMPT" in
wait*) while :; do sleep 0.1; done ;;
fail1) end 1 "RuntimeError: out of luck" "" ;;
bad-data*) end {ExitCode.DATA_ERROR:d} "refused" '{_BAD.model_dump_json()}' ;;
esac
end 0 "trained" '{trainer.TRAINED}'
"""


def push_played_trainer(registry: str, folder: Path) -> str:
    """The reference of the image, by digest; the same bytes each time."""
    packed = _pack(folder)
    target = ImageReference.parse(f"oci://{registry}/played/trainer:v1")
    Registry(None, (registry,)).push(packed, target)
    return target.at(packed.digest).uri.removeprefix("oci://")


def _pack(layout: Path) -> PackedImage:
    blobs = layout / "blobs/sha256"
    blobs.mkdir(parents=True)

    def blob(content: bytes, media_type: str) -> dict[str, object]:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    def document(content: object, media_type: str) -> dict[str, object]:
        return blob(json.dumps(content).encode(), media_type)

    files = _files()
    layer = blob(gzip.compress(files, 1, mtime=0), LAYER_TYPE)
    content = f"sha256:{hashlib.sha256(files).hexdigest()}"
    config = document(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [content]},
        },
        CONFIG_TYPE,
    )
    parts = {"mediaType": MANIFEST_TYPE, "config": config, "layers": [layer]}
    manifest = document({"schemaVersion": 2, **parts}, MANIFEST_TYPE)
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}))
    (layout / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))
    return PackedImage(layout, str(manifest["digest"]), len(files))


def _files() -> bytes:
    """Debian's static busybox, and the script in the place of Python."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as tar:
        for folder in ("bin", "tmp"):
            member = tarfile.TarInfo(folder)
            member.type, member.mode = tarfile.DIRTYPE, 0o1777
            tar.addfile(member)
        for name in ("sh", "sleep", "seq"):
            member = tarfile.TarInfo(f"bin/{name}")
            member.type, member.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(member)
        programs = {"busybox": Path("/bin/busybox").read_bytes(), "python": _SCRIPT.encode()}
        for name, content in programs.items():
            member = tarfile.TarInfo(f"bin/{name}")
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
    return written.getvalue()
