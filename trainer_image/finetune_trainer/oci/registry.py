"""Images to and from a registry, carried by skopeo; its errors become ours in one table."""

import hashlib
import re
import subprocess
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from finetune_trainer.errors import (
    ConfigurationError,
    CredentialsRefusedError,
    NoSpaceError,
    TrainerError,
    UnavailableError,
)
from finetune_trainer.oci.index import PackedIndex
from finetune_trainer.oci.layout import PackedImage
from finetune_trainer.oci.reference import ImageReference

QUESTION_SECONDS = 60
"""Bound of one question about a manifest."""

TRANSFER_SECONDS = 4 * 3600
"""Bound of one transfer: 400 GB at 30 MB/s."""

_TRANSFER_RETRIES = "2"
"""Within one call, so that a short break does not move a large image again; the rest of the
retrying, with back-off, is the operator's."""

_ABSENT = re.compile(r"manifest unknown|name unknown|name_unknown|not found|404 \(", re.I)

_ERRORS: tuple[tuple[re.Pattern[str], type[TrainerError], str], ...] = (
    (
        re.compile(r"no space left on device", re.I),
        NoSpaceError,
        "the volume is full: delete what is not needed there, or give it more space",
    ),
    (
        re.compile(r"unauthorized|authentication required|access .*denied|403 |forbidden", re.I),
        CredentialsRefusedError,
        "the registry refused: name a Secret of type kubernetes.io/dockerconfigjson with access"
        " to this repository in credentialsSecretRef",
    ),
    (
        re.compile(r"server gave HTTP response to HTTPS client", re.I),
        ConfigurationError,
        "the registry speaks plain HTTP: list its host in insecureRegistries of the FineTuneClass",
    ),
    (
        re.compile(r"x509:", re.I),
        ConfigurationError,
        "the registry's certificate is not trusted: name the authority that has signed it in"
        " network.certificateAuthorities of the FineTuneClass",
    ),
    (
        re.compile(r"repository name .*invalid|invalid reference format", re.I),
        ConfigurationError,
        "the registry does not accept this name",
    ),
    (_ABSENT, ConfigurationError, "there is no such image: check repository, tag and digest"),
)


@dataclass(frozen=True)
class Registry:
    """Access to registries: whose credentials, and which hosts speak plain HTTP."""

    authfile: Path | None = None
    """A .dockerconfigjson; None for anonymous access."""
    insecure_hosts: Collection[str] = ()

    def manifest(self, image: ImageReference) -> bytes | None:
        """The raw manifest or index, None when the registry does not have it.

        Raises:
            TrainerError: of the class of the refusal.
        """
        result = self._run(
            image,
            ["inspect", "--raw", *self._access(image, "")],
            [f"docker://{image.name}"],
            QUESTION_SECONDS,
        )
        if result.returncode == 0:
            return result.stdout
        message = _last_error(result.stderr)
        error = classify(image, message)
        if isinstance(error, ConfigurationError) and _ABSENT.search(message):
            return None
        raise error

    def pull(self, image: ImageReference, directory: Path) -> None:
        """Copy the image into `directory`: manifest.json and each layer as a plain tar.

        skopeo compares every blob with its digest.
        """
        self._transfer(
            image,
            ["--dest-decompress", *self._access(image, "src-")],
            [f"docker://{image.name}", f"dir:{directory}"],
        )

    def push(self, packed: PackedImage, image: ImageReference) -> None:
        """Copy a packed image to the registry, bit for bit; blobs already there do not move."""
        self._transfer(
            image,
            ["--preserve-digests", *self._access(image, "dest-")],
            [f"oci:{packed.layout}", f"docker://{image.name}"],
        )

    def push_index(self, packed: PackedIndex, image: ImageReference) -> None:
        """Copy an index to the registry, which has the images that it names."""
        self._transfer(
            image,
            ["--preserve-digests", "--multi-arch=index-only", *self._access(image, "dest-")],
            [f"oci:{packed.layout}", f"docker://{image.name}"],
        )

    def name(self, image: ImageReference, named: ImageReference) -> None:
        """Give an image of the registry another name in its repository; nothing of it moves."""
        present = self.manifest(named)
        if present is not None and digest_of(present) == image.digest:
            return
        access = [*self._access(image, "src-"), *self._access(named, "dest-")]
        self._transfer(
            named,
            ["--preserve-digests", *access],
            [f"docker://{image.name}", f"docker://{named.name}"],
        )

    def _transfer(self, image: ImageReference, options: list[str], names: list[str]) -> None:
        copy = ["copy", "--quiet", "--retry-times", _TRANSFER_RETRIES]
        result = self._run(image, [*copy, *options], names, TRANSFER_SECONDS)
        if result.returncode != 0:
            raise classify(image, _last_error(result.stderr))

    def _access(self, image: ImageReference, prefix: str) -> list[str]:
        options = []
        if self.authfile is not None:
            options += [f"--{prefix}authfile", str(self.authfile)]
        if image.host in self.insecure_hosts:
            options.append(f"--{prefix}tls-verify=false")
        return options

    def _run(
        self, image: ImageReference, command: list[str], names: list[str], seconds: int
    ) -> subprocess.CompletedProcess[bytes]:
        # Everything is given as arguments; the policy file is the image's own.
        try:
            return subprocess.run(
                ["skopeo", *command, *names],
                capture_output=True,
                timeout=seconds,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except FileNotFoundError as error:
            raise ConfigurationError("skopeo is not installed: use the trainer image") from error
        except subprocess.TimeoutExpired as error:
            raise UnavailableError(
                f"{image.host} did not finish {command[0]} of {image.uri} within {seconds} s"
            ) from error


def digest_of(manifest: bytes) -> str:
    """The digest a registry gives to this manifest."""
    return "sha256:" + hashlib.sha256(manifest).hexdigest()


def classify(image: ImageReference, message: str) -> TrainerError:
    """What skopeo's last words mean; what is not known is taken to be passing."""
    for pattern, kind, advice in _ERRORS:
        if pattern.search(message):
            return kind(f"{image.uri}: {advice} ({message})")
    return UnavailableError(f"{image.uri}: the registry {image.host} cannot be used now: {message}")


def _last_error(stderr: bytes) -> str:
    lines = [line for line in stderr.decode(errors="replace").splitlines() if "level=fatal" in line]
    text = lines[-1] if lines else stderr.decode(errors="replace").strip()
    match = re.search(r'msg="((?:[^"\\]|\\.)*)"', text)
    return match[1].replace('\\"', '"') if match else text[-1000:]
