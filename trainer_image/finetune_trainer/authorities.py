"""Certificate authorities of the user's own network, trusted besides those of the image.

Who fetches and publishes here (httpx and hf_xet for the hub, Go's library in skopeo) takes from
SSL_CERT_FILE what to trust instead of the system's certificates, requests (Azure Storage) from
REQUESTS_CA_BUNDLE, boto3 from AWS_CA_BUNDLE: so both are written into one file.
"""

import logging
import os
import ssl
import tempfile
from collections.abc import Iterable
from pathlib import Path

from finetune_trainer.errors import ConfigurationError

FOLDER = Path("/var/run/secrets/finetune.dev/authorities")
"""Where the ConfigMap is mounted; absent where there is none."""

VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE")

_SYSTEM = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu
    "/etc/pki/tls/certs/ca-bundle.crt",  # Red Hat
    "/etc/ssl/cert.pem",  # Alpine
)

log = logging.getLogger(__name__)


def trust(folder: Path, scratch: Path | None = None) -> None:
    """Trusts what every file of the folder holds, in this process and those it starts.

    Args:
        folder: of PEM files; one that is not there changes nothing.
        scratch: where the joined file is written; None: the folder for temporary files.

    Raises:
        ConfigurationError: a file is no certificates, or there is none.
    """
    if not folder.is_dir():
        return
    files = sorted(each for each in folder.iterdir() if each.is_file())
    if not files:
        raise ConfigurationError(f"{_WHERE} is empty: give each certificate as PEM, in any key")
    texts = [_certificates(each) for each in files]
    system = _system()
    if system is not None:
        texts.append(system.read_text(encoding="utf-8"))
    descriptor, path = tempfile.mkstemp(".pem", "authorities-", scratch)
    with os.fdopen(descriptor, "w", encoding="utf-8") as bundle:
        bundle.write("\n".join(texts))
    os.environ.update(dict.fromkeys(VARIABLES, path))
    log.info("trusting %s besides %s", _named(files), system or "nobody")


_WHERE = "the ConfigMap of network.certificateAuthorities"


def _certificates(path: Path) -> str:
    try:
        text = path.read_text(encoding="ascii")
        # Refuses what is no certificate, which the clients would only tell by trusting nobody.
        ssl.create_default_context(cadata=text)
    except (UnicodeDecodeError, ssl.SSLError, ValueError) as error:
        raise ConfigurationError(
            f"{_WHERE}: key {path.name} does not hold certificates as PEM: {error}"
        ) from error
    return text


def _system() -> Path | None:
    """What is trusted without this, as one file."""
    paths = ssl.get_default_verify_paths()
    candidates = (os.environ.get(VARIABLES[0]), paths.openssl_cafile, *_SYSTEM)
    return next((Path(each) for each in candidates if each and Path(each).is_file()), None)


def _named(files: Iterable[Path]) -> str:
    return ", ".join(each.name for each in files)
