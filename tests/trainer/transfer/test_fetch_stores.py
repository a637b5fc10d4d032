"""s3:// and abfs:// by the vendors' clients, as a container with a token of its pod asks for them:
through a proxy that alone knows the clouds' names, to servers of a private authority."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from finetune_trainer.exit_codes import ExitCode
from tests.trainer.transfer import company, stores
from tests.trainer.transfer.company import Authority, Proxy
from tests.trainer.transfer.conftest import WANTED, names
from tests.trainer.transfer.stores import (
    ACCOUNT,
    BLOB,
    BUCKET,
    CLIENT_ID,
    CONTAINER,
    ENTRA,
    POD_TOKEN,
    REGION,
    ROLE,
    S3,
    STS,
    TENANT_ID,
    Cloud,
)

ENDS_WITHIN = 120
S3_URI = f"s3://{BUCKET}"
AZURE_URI = f"abfs://{CONTAINER}@{ACCOUNT}.dfs.core.windows.net"
BOTH = pytest.mark.parametrize("uri", [S3_URI, AZURE_URI], ids=["s3", "abfs"])


@dataclass
class Pod:
    """A container that fetches, and what it has."""

    root: Path
    cloud: Cloud
    proxy: Proxy
    identified: bool = True

    def fetch(
        self, uri: str, destination: str = "inputs/model"
    ) -> "subprocess.CompletedProcess[str]":
        token = self.root / "token"
        token.write_text(POD_TOKEN)
        identity = {
            "AWS_ROLE_ARN": ROLE,
            "AWS_REGION": REGION,
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
            "AZURE_CLIENT_ID": CLIENT_ID,
            "AZURE_TENANT_ID": TENANT_ID,
            "AZURE_AUTHORITY_HOST": f"https://{ENTRA}/",
            "AZURE_FEDERATED_TOKEN_FILE": str(token),
        }
        (self.root / "workspace").mkdir(exist_ok=True)
        return subprocess.run(
            [
                *(sys.executable, "-m", "finetune_trainer", "fetch", "--uri", uri),
                *("--destination", destination, "--workspace", str(self.root / "workspace")),
                *("--authorities", str(self.root / "authorities")),
            ],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.root),
                "PYTHONPATH": os.pathsep.join(each for each in sys.path if each),
                "HTTPS_PROXY": self.proxy.url,
                **(identity if self.identified else {}),
            },
            capture_output=True,
            text=True,
            timeout=ENDS_WITHIN,
            check=False,
        )

    def refused(self, uri: str, code: ExitCode) -> str:
        ended = self.fetch(uri)
        assert ended.returncode == code, ended.stderr
        return ended.stderr

    @property
    def model(self) -> Path:
        return self.root / "workspace/inputs/model"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority("The company", tmp_path_factory.mktemp("company") / "authority")


@pytest.fixture
def pod(authority: Authority, model_files: dict[str, Path], tmp_path: Path) -> Iterator[Pod]:
    """With models/tiny in both stores."""
    (tmp_path / "authorities").mkdir()
    (tmp_path / "authorities/company.crt").write_bytes(authority.certificate.read_bytes())
    with stores.run(authority.certificate_of(*stores.HOSTS)) as cloud, company.proxy() as proxy:
        proxy.places |= {f"{host}:443": cloud.port for host in stores.HOSTS}
        for path, file in model_files.items():
            cloud.objects[f"models/tiny/{path}"] = file.read_bytes()
        cloud.objects["models/tiny-but-another/model.safetensors"] = b"another"
        cloud.objects["data/ä & b/train.jsonl"] = b'{"text": "a"}\n'
        cloud.objects["data/train.jsonl"] = b'{"text": "b"}\n'
        yield Pod(tmp_path, cloud, proxy)


@BOTH
def test_a_model_is_fetched_as_whom_the_pod_may_act(pod: Pod, uri: str) -> None:
    ended = pod.fetch(f"{uri}/models/tiny")
    assert ended.returncode == 0, ended.stderr
    assert names(pod.model) == WANTED
    weights = (pod.model / "model.safetensors").read_bytes()
    assert weights == pod.cloud.objects["models/tiny/model.safetensors"]
    assert json.loads(ended.stdout)["digest"].startswith("sha256:")
    asked = {each.partition(" ")[0] for each in pod.cloud.requests}
    assert asked == ({STS, S3} if uri == S3_URI else {ENTRA, BLOB})
    assert {each.partition(":")[0] for each in pod.proxy.asked} == asked
    assert not [each for each in pod.cloud.requests if "pytorch_model.bin" in each]


@BOTH
def test_data_of_a_folder_and_of_one_file(pod: Pod, uri: str) -> None:
    ended = pod.fetch(f"{uri}/data/", "inputs/train-0")
    assert ended.returncode == 0, ended.stderr
    assert names(pod.root / "workspace/inputs/train-0") == {"train.jsonl", "ä & b/train.jsonl"}
    ended = pod.fetch(f"{uri}/data/train.jsonl", "inputs/train-1")
    assert ended.returncode == 0, ended.stderr
    assert names(pod.root / "workspace/inputs/train-1") == {"train.jsonl"}


@BOTH
def test_what_is_public_is_asked_for_as_nobody(pod: Pod, uri: str) -> None:
    pod.cloud.public, pod.identified = True, False
    ended = pod.fetch(f"{uri}/models/tiny")
    assert ended.returncode == 0, ended.stderr
    assert names(pod.model) == WANTED
    assert not {STS, ENTRA} & {each.partition(" ")[0] for each in pod.cloud.requests}


@BOTH
def test_reading_that_breaks_off_is_gone_on_with(pod: Pod, uri: str) -> None:
    pod.cloud.breaks = 2
    ended = pod.fetch(f"{uri}/models/tiny")
    assert ended.returncode == 0, ended.stderr
    weights = (pod.model / "model.safetensors").read_bytes()
    assert weights == pod.cloud.objects["models/tiny/model.safetensors"]
    assert len(pod.cloud.ranges) == len(WANTED) + 2


@BOTH
def test_another_pod_goes_on_where_one_was_lost(pod: Pod, uri: str) -> None:
    pod.cloud.objects["models/tiny/model.safetensors"] = os.urandom(36 << 20)
    pod.cloud.ends_at = 20 << 20
    said = pod.refused(f"{uri}/models/tiny", ExitCode.UNAVAILABLE)
    assert "model.safetensors of" in said
    assert "does not come" in said
    pod.cloud.ends_at = None
    pod.cloud.ranges.clear()
    ended = pod.fetch(f"{uri}/models/tiny")
    assert ended.returncode == 0, ended.stderr
    asked = [each.partition(" bytes=") for each in pod.cloud.ranges]
    assert {key for key, _, _ in asked} == {"models/tiny/model.safetensors"}
    assert min(int(span.partition("-")[0]) for _, _, span in asked) >= 16 << 20
    weights = (pod.model / "model.safetensors").read_bytes()
    assert weights == pod.cloud.objects["models/tiny/model.safetensors"]
    assert names(pod.model) == WANTED


@BOTH
def test_what_changes_meanwhile_is_not_mixed(pod: Pod, uri: str) -> None:
    pod.cloud.changes = True
    said = pod.refused(f"{uri}/models/tiny", ExitCode.UNAVAILABLE)
    assert "was changed while it was fetched" in said
    assert not pod.model.exists()


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        (S3_URI, f"AWS does not give the role {ROLE} to this pod"),
        (AZURE_URI, f"Entra does not give a token for the identity {CLIENT_ID} to this pod"),
    ],
    ids=["s3", "abfs"],
)
def test_who_does_not_trust_the_service_account_is_named(pod: Pod, uri: str, said: str) -> None:
    pod.cloud.trusted = False
    assert said in pod.refused(f"{uri}/models/tiny", ExitCode.CREDENTIALS_REFUSED)


@BOTH
def test_who_may_not_read_is_named(pod: Pod, uri: str) -> None:
    pod.cloud.allowed = False
    said = pod.refused(f"{uri}/models/tiny", ExitCode.CREDENTIALS_REFUSED)
    assert (ROLE if uri == S3_URI else CLIENT_ID) in said
    pod.identified = False
    said = pod.refused(f"{uri}/models/tiny", ExitCode.CREDENTIALS_REFUSED)
    assert "who gives no workloadIdentity" in said


@BOTH
def test_nothing_there_is_told_at_once(pod: Pod, uri: str) -> None:
    said = pod.refused(f"{uri}/models/huge", ExitCode.CONFIGURATION_ERROR)
    assert f"there is nothing at {uri}/models/huge" in said


@BOTH
def test_who_is_not_vouched_for_is_not_spoken_to(pod: Pod, uri: str) -> None:
    another = Authority("Another", pod.root / "another")
    (pod.root / "authorities/company.crt").write_bytes(another.certificate.read_bytes())
    pod.identified = False
    said = pod.refused(f"{uri}/models/tiny", ExitCode.CONFIGURATION_ERROR)
    assert "network.certificateAuthorities of the FineTuneClass" in said


@pytest.mark.parametrize("uri", ["s3://B", "abfs://data@account.example.com/x", "abfs://account/x"])
def test_a_name_of_nothing_is_refused(pod: Pod, uri: str) -> None:
    assert "is not of the form" in pod.refused(uri, ExitCode.CONFIGURATION_ERROR)
