"""Names of images: `oci://host/repository[:tag][@sha256:…]`."""

import re
from dataclasses import dataclass
from typing import Self

from finetune_trainer.errors import ConfigurationError

SCHEME = "oci://"

# The grammar of the OCI distribution specification, version 1.1, with a host always written out.
_REFERENCE = re.compile(
    r"(?P<host>[A-Za-z0-9.-]+(?::[0-9]{1,5})?|\[[0-9a-fA-F:]+\](?::[0-9]{1,5})?)"
    r"/(?P<repository>[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)


@dataclass(frozen=True)
class ImageReference:
    """One image in one registry; `tag` or `digest` may be empty, a digest wins."""

    host: str
    repository: str
    tag: str
    digest: str

    @classmethod
    def parse(cls, uri: str) -> Self:
        """Read `oci://host/repository[:tag][@sha256:…]`; without tag and digest it is `latest`.

        Raises:
            ConfigurationError: the text is no such name.
        """
        match = _REFERENCE.fullmatch(uri.removeprefix(SCHEME)) if uri.startswith(SCHEME) else None
        if match is None or not _looks_like_host(match["host"]):
            raise ConfigurationError(
                f"{uri!r} names no image: write oci://HOST/REPOSITORY:TAG"
                " or oci://HOST/REPOSITORY@sha256:DIGEST, the repository in lower case"
            )
        digest = match["digest"] or ""
        tag = match["tag"] or ("" if digest else "latest")
        return cls(match["host"], match["repository"], tag, digest)

    def at(self, digest: str) -> "ImageReference":
        """The same repository, exactly this content."""
        return ImageReference(self.host, self.repository, "", digest)

    @property
    def name(self) -> str:
        """What container tools expect: host/repository@digest, or host/repository:tag."""
        version = f"@{self.digest}" if self.digest else f":{self.tag}"
        return f"{self.host}/{self.repository}{version}"

    @property
    def uri(self) -> str:
        return SCHEME + self.name


def _looks_like_host(host: str) -> bool:
    # As docker does: without a dot or a port, the first word would be a Docker Hub namespace.
    return "." in host or ":" in host or host == "localhost"
