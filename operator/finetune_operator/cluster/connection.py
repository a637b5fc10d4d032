"""Where the API server is and how to be believed there, from the pod or from a kubeconfig.

Finding and refreshing credentials is left to the kubernetes package. Its synchronous
configuration is the part that kopf loads anyway, so it costs no memory; its typed client,
several times slower than JSON and blocking the event loop, is not used.
"""

import ssl
import time
from collections.abc import Callable
from typing import Protocol

import kubernetes.config
from kubernetes.client.configuration import Configuration

READ_SECONDS = 1.0
"""How long credentials are taken for current. A request that is refused meanwhile is retried."""


class Connection(Protocol):
    """The seam at which tests put a server of their own."""

    url: str

    def ssl_context(self) -> ssl.SSLContext | bool:
        """What to trust and who to be; True for the system's defaults."""
        ...

    def authorization(self) -> str | None:
        """The Authorization header, asked for before each request since tokens rotate."""
        ...


class ConfiguredConnection:
    """A connection as it was configured; by default as the environment describes it: the pod's
    account first, then a kubeconfig."""

    def __init__(self, configuration: Configuration | None = None) -> None:
        self._configuration = configuration or _from_environment()
        self.url: str = self._configuration.host.rstrip("/")
        self._authorization: str | None = None
        self._read_at = float("-inf")

    def ssl_context(self) -> ssl.SSLContext:
        """Trusts the cluster's authority, and carries the client certificate where there is one."""
        configuration = self._configuration
        context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
        if not configuration.verify_ssl:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if configuration.cert_file:
            context.load_cert_chain(configuration.cert_file, configuration.key_file)
        return context

    def authorization(self) -> str | None:
        """The bearer token; reading it lets the package refresh it when it is due, and takes it as
        long as a small request."""
        now = time.monotonic()
        if now - self._read_at > READ_SECONDS:
            self._authorization = self._read()
            self._read_at = now
        return self._authorization

    def _read(self) -> str | None:
        token: str | None = self._configuration.get_api_key_with_prefix("BearerToken")
        return token or self._configuration.get_api_key_with_prefix("authorization")


def _from_environment() -> Configuration:
    configuration = Configuration()
    load_from_pod: Callable[..., None] = kubernetes.config.load_incluster_config
    load_from_file: Callable[..., None] = kubernetes.config.load_kube_config
    try:
        load_from_pod(client_configuration=configuration)
    except kubernetes.config.ConfigException:
        load_from_file(client_configuration=configuration)
    return configuration
