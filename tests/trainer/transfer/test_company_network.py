"""Through a proxy to servers that only a private authority vouches for: the real commands, each a
process, with the environment that the operator gives their containers."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from finetune_trainer import authorities
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.exit_codes import ExitCode
from tests.trainer.transfer import company, hub, registry
from tests.trainer.transfer.company import Authority, Proxy
from tests.trainer.transfer.conftest import WANTED, names
from tests.trainer.transfer.hub import COMMIT, Repository
from tests.trainer.transfer.test_publish import RECIPE, complete

HUB, REGISTRY = "hub.company.test", "registry.company.test"
ENDS_WITHIN = 120


@dataclass(frozen=True)
class Company:
    """Its hub and registry, the way to them, and who vouches for them."""

    proxy: Proxy
    authority: Authority

    def run(
        self, *command: str, trusting: Path | None, **environment: str
    ) -> "subprocess.CompletedProcess[str]":
        """The trainer's command, as in a container that fetches or publishes."""
        own = {"HTTPS_PROXY": self.proxy.url, "HF_ENDPOINT": f"https://{HUB}"}
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        path = os.pathsep.join(each for each in sys.path if each)
        return subprocess.run(
            [sys.executable, "-m", "finetune_trainer", *command]
            + (["--authorities", str(trusting)] if trusting else []),
            env={**kept, "PYTHONPATH": path, **own, **environment},
            capture_output=True,
            text=True,
            timeout=ENDS_WITHIN,
            check=False,
        )


@pytest.fixture(scope="module")
def servers(
    program: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Authority, "hub.Hub", registry.RunningRegistry]]:
    folder = tmp_path_factory.mktemp("company")
    authority = Authority("The company", folder / "authority")
    certificate = authority.certificate_of(REGISTRY)
    with (
        registry.run(program, folder / "registry", certificate=certificate) as images,
        hub.run(authority.certificate_of(HUB)) as models,
    ):
        yield authority, models, images


@pytest.fixture
def network(
    servers: tuple[Authority, "hub.Hub", registry.RunningRegistry], model_files: dict[str, Path]
) -> Iterator[Company]:
    authority, models, images = servers
    files = {path: file.read_bytes() for path, file in model_files.items()}
    models.repositories["models/owner/tiny"] = Repository(files)
    with company.proxy() as proxy:
        proxy.places[f"{HUB}:443"] = urlsplit(models.url).port or 0
        proxy.places[f"{REGISTRY}:443"] = int(images.host.rpartition(":")[2])
        yield Company(proxy, authority)


@pytest.fixture
def mounted(network: Company, tmp_path: Path) -> Path:
    """The ConfigMap with the company's authority, as the kubelet mounts one."""
    return mount(tmp_path / "authorities", network.authority)


def mount(folder: Path, authority: Authority) -> Path:
    (folder / "..2026").mkdir(parents=True)
    (folder / "..2026/ca.crt").write_bytes(authority.certificate.read_bytes())
    (folder / "..data").symlink_to("..2026")
    (folder / "company.crt").symlink_to("..data/ca.crt")
    return folder


def fetch(uri: str, workspace: Path) -> list[str]:
    workspace.mkdir(exist_ok=True)
    return ["fetch", "--uri", uri, "--destination", "inputs/model", "--workspace", str(workspace)]


def test_a_model_comes_from_the_mirror_through_the_proxy(
    network: Company, mounted: Path, tmp_path: Path
) -> None:
    ended = network.run(*fetch("hf://owner/tiny", tmp_path / "workspace"), trusting=mounted)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["revision"] == COMMIT
    assert names(tmp_path / "workspace/inputs/model") == WANTED
    assert set(network.proxy.asked) == {f"{HUB}:443"}
    assert "trusting company.crt besides" in ended.stderr


def test_a_result_is_pushed_and_fetched_again_through_the_proxy(
    network: Company, mounted: Path, tmp_path: Path
) -> None:
    complete(tmp_path / "trained")
    (tmp_path / "recipe.json").write_text(RECIPE.model_dump_json(by_alias=True))
    uri = f"oci://{REGISTRY}/adapters/support:v1"
    published = network.run(
        "publish", "--recipe", str(tmp_path / "recipe.json"), "--uri", uri,
        "--workspace", str(tmp_path / "trained"), trusting=mounted,
    )  # fmt: skip
    assert published.returncode == 0, published.stderr
    fetched = network.run(*fetch(uri, tmp_path / "workspace"), trusting=mounted)
    assert fetched.returncode == 0, fetched.stderr
    assert (
        json.loads(fetched.stdout)["revision"]
        == json.loads(published.stdout)["images"][0]["digest"]
    )
    assert set(network.proxy.asked) == {f"{REGISTRY}:443"}


@pytest.mark.parametrize("uri", ["hf://owner/tiny", f"oci://{REGISTRY}/adapters/none:v1"])
def test_who_is_not_vouched_for_is_not_spoken_to_and_the_field_is_named(
    network: Company, tmp_path: Path, uri: str
) -> None:
    ended = network.run(*fetch(uri, tmp_path / "workspace"), trusting=None)
    assert ended.returncode == ExitCode.CONFIGURATION_ERROR, ended.stderr
    assert "network.certificateAuthorities of the FineTuneClass" in ended.stderr


def test_whom_the_image_trusts_is_trusted_still(network: Company, tmp_path: Path) -> None:
    """Here the company's authority is one of the image's, and another one is given."""
    another = Authority("Another", tmp_path / "another")
    ended = network.run(
        *fetch("hf://owner/tiny", tmp_path / "workspace"),
        trusting=mount(tmp_path / "authorities", another),
        SSL_CERT_FILE=str(network.authority.certificate),
    )
    assert ended.returncode == 0, ended.stderr


def test_without_a_way_out_the_name_is_not_even_known(
    network: Company, mounted: Path, tmp_path: Path
) -> None:
    ended = network.run(
        *fetch("hf://owner/tiny", tmp_path / "workspace"), trusting=mounted, HTTPS_PROXY=""
    )
    assert ended.returncode == ExitCode.UNAVAILABLE, ended.stderr
    assert network.proxy.asked == []


def test_a_host_that_is_excepted_is_spoken_to_directly(
    network: Company, tmp_path: Path, program: Path
) -> None:
    """By its address, for which an authority vouches too."""
    local = Authority("Local", tmp_path / "local")
    with hub.run(local.certificate_of("127.0.0.1")) as models:
        models.repositories["models/owner/tiny"] = Repository({"model.safetensors": b"weights"})
        ended = network.run(
            *fetch("hf://owner/tiny", tmp_path / "workspace"),
            trusting=mount(tmp_path / "authorities", local),
            HF_ENDPOINT=models.url,
            NO_PROXY="127.0.0.1,.elsewhere.test",
        )
    assert ended.returncode == 0, ended.stderr
    assert network.proxy.asked == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "is empty"),
        ({"ca.crt": "not a certificate"}, "key ca.crt does not hold certificates"),
        ({"ca.crt": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}, "ca.crt"),
        ({"ca.der": "\u00e9"}, "ca.der"),
    ],
)
def test_what_is_no_certificate_is_refused_by_its_key(
    tmp_path: Path, content: dict[str, str], said: str
) -> None:
    for name, text in content.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(ConfigurationError, match=said):
        authorities.trust(tmp_path)


def test_without_a_config_map_nothing_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    authorities.trust(tmp_path / "absent")
    assert "SSL_CERT_FILE" not in os.environ
