"""What a container gets that speaks to somebody outside the cluster: proxy, authorities, hub."""

from dataclasses import dataclass, field

from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_operator.api.network import Network
from finetune_operator.domain.actions import JsonObject

AUTHORITIES_PATH = "/var/run/secrets/finetune.dev/authorities"
"""Where the trainer looks for certificates to trust besides its own."""


@dataclass(frozen=True, slots=True)
class Outside:
    """As the class says, when the container is made."""

    network: Network = field(default_factory=Network)
    insecure_registries: tuple[str, ...] = ()

    @property
    def arguments(self) -> list[str]:
        """Of the trainer's commands."""
        return [word for host in self.insecure_registries for word in ("--insecure-registry", host)]

    @property
    def environment(self) -> dict[str, str]:
        """Understood by all clients alike: of the hub, and skopeo."""
        proxy, hub = self.network.proxy, self.network.hub
        found = {"HF_ENDPOINT": hub.endpoint} if hub else {}
        if proxy is None:
            return found
        given = {
            "HTTP_PROXY": proxy.http,
            "HTTPS_PROXY": proxy.https,
            "NO_PROXY": ",".join(proxy.no_proxy),
        }
        return found | {name: value for name, value in given.items() if value}

    def volumes(self, container: str) -> tuple[list[JsonObject], list[JsonObject]]:
        """The volumes that only this container mounts, and how it mounts them."""
        authorities = self.network.certificate_authorities
        if authorities is None:
            return [], []
        name = f"{container}-authorities"
        volume = {"name": name, "configMap": {"name": authorities.config_map_name}}
        return [volume], [{"name": name, "mountPath": AUTHORITIES_PATH, "readOnly": True}]


DIRECTLY = Outside()
"""Nobody in between."""


def outside_of(its_class: FineTuneClass | None) -> Outside:
    """What the class says; nothing while there is no class."""
    if its_class is None:
        return DIRECTLY
    return Outside(its_class.spec.network, its_class.spec.insecure_registries)
