"""Where models and data come from."""

from typing import Annotated

from pydantic import ConfigDict, Field

from finetune_operator.api.base import ApiModel
from finetune_operator.api.cel import Matches, Rule, Rules, rules
from finetune_operator.api.identity import WorkloadIdentity
from finetune_operator.api.text import URI_LENGTH, Name

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_PATH = r"(/[A-Za-z0-9._@=+-]+)*/?"
_OCI = (
    r"oci://[a-zA-Z0-9.-]+(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+"
    r"(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(@sha256:[0-9a-f]{64})?"
)
_PVC = r"pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?" + _PATH
_FILE = r"file://(/[A-Za-z0-9._@=+-]+)+/?"
_S3 = r"s3://[a-z0-9][-a-z0-9.]{1,61}[a-z0-9]" + _PATH
_AZURE = (
    r"abfs://[a-z0-9$][-a-z0-9]{2,62}@[a-z0-9]{3,24}\.(dfs|blob)\.core"
    r"\.(windows\.net|chinacloudapi\.cn|usgovcloudapi\.net)" + _PATH
)
_HUB_MODEL = f"hf://{_NAME}/{_NAME}"
_HUB_DATA = f"hf://(datasets/)?{_NAME}/{_NAME}{_PATH}"

_NO_CLIMBING = Rules(
    Rule(
        "!self.contains('/../') && !self.endsWith('/..')",
        "must not contain '..': name the place itself",
    ),
)

ModelUri = Annotated[
    str,
    Field(min_length=1, max_length=URI_LENGTH),
    Matches(
        rf"^({_HUB_MODEL}|{_OCI}|{_S3}|{_AZURE}|{_PVC}|{_FILE})$",
        "must be hf://owner/name, oci://registry/repository:tag, s3://bucket/path,"
        " abfs://container@account.dfs.core.windows.net/path, pvc://claim/path"
        " or file:///path (a path inside the trainer image)",
    ),
    _NO_CLIMBING,
]

AdapterUri = Annotated[
    str,
    Field(min_length=1, max_length=URI_LENGTH),
    Matches(
        rf"^({_HUB_MODEL}|{_OCI}|{_PVC}|{_FILE})$",
        "must be hf://owner/name, oci://registry/repository:tag, pvc://claim/path"
        " or file:///path (a path inside the trainer image)",
    ),
    _NO_CLIMBING,
]

DataUri = Annotated[
    str,
    Field(min_length=1, max_length=URI_LENGTH),
    Matches(
        rf"^({_HUB_DATA}|{_OCI}|{_S3}|{_AZURE}|{_PVC}|{_FILE})$",
        "must be pvc://claim/path, oci://registry/repository:tag, s3://bucket/path,"
        " abfs://container@account.dfs.core.windows.net/path,"
        " hf://datasets/owner/name/path or file:///path (a path inside the trainer image)",
    ),
    _NO_CLIMBING,
]

_NO_CREDENTIALS_NEEDED = Rule(
    "!has(self.credentialsSecretRef) || self.storageUri.startsWith('hf://')"
    " || self.storageUri.startsWith('oci://')",
    "credentialsSecretRef is used with hf:// and oci:// only: remove it",
    field=".credentialsSecretRef",
)


_IDENTITY_OF_THE_STORE = tuple(
    Rule(
        f"!has(self.workloadIdentity) || !has(self.workloadIdentity.{cloud})"
        f" || self.storageUri.startsWith('{scheme}')",
        f"workloadIdentity.{cloud} is used with {scheme} only: remove it",
        field=".workloadIdentity",
    )
    for cloud, scheme in (("aws", "s3://"), ("azure", "abfs://"))
)


class SecretReference(ApiModel):
    """A Secret in the namespace of the object."""

    name: Name
    """Name of the Secret."""


Revision = Annotated[
    str,
    Field(min_length=1, max_length=128),
    Matches(
        r"^[A-Za-z0-9][A-Za-z0-9._/-]*$",
        "must be a branch, a tag or a commit of the repository",
    ),
]

_MODEL_RULES = (
    Rule(
        "!has(self.revision) || self.storageUri.startsWith('hf://')",
        "revision is used with hf:// only: put the tag or digest of an oci:// model into"
        " storageUri, and remove it elsewhere",
        field=".revision",
    ),
    _NO_CREDENTIALS_NEEDED,
    *_IDENTITY_OF_THE_STORE,
)


class ModelSource(ApiModel):
    """A base model: a directory with config.json, safetensors weights and tokenizer."""

    model_config = ConfigDict(json_schema_extra=rules(*_MODEL_RULES))

    storage_uri: ModelUri
    """Where the model lies: `hf://owner/name` (Hugging Face hub), `oci://registry/repository:tag`
    (an image with the model below /data, or else all of it), `s3://bucket/path`,
    `abfs://container@account.dfs.core.windows.net/path` (Azure Storage), `pvc://claim/path` (a
    PersistentVolumeClaim of this namespace, read-only) or `file:///path` (a path inside the
    trainer image). Only safetensors weights are read."""
    revision: Revision | None = None
    """Branch, tag or commit of an hf:// repository. Absent: main. The commit that it stood for
    when the job was accepted is in status.resolved.modelRevision."""
    credentials_secret_ref: SecretReference | None = None
    """Secret for the source: key `token` for hf://, `.dockerconfigjson` for oci://. Mounted only
    into the container that fetches. Absent: the source is public."""
    workload_identity: WorkloadIdentity | None = None
    """Who fetches from s3:// or abfs://, by a token of the pod's ServiceAccount
    (podTemplate.serviceAccountName) that only the container that fetches gets. Absent: the source
    is public."""


Weight = Annotated[
    str,
    Field(min_length=1, max_length=16),
    Matches(
        r"^([1-9][0-9]{0,5}(\.[0-9]{1,6})?|0?\.[0-9]{0,5}[1-9][0-9]{0,5})$",
        'must be a positive number as a string, such as "2" or "0.5"',
    ),
]


class TrainedModelSource(ModelSource):
    """A base model, and where training goes on from an adapter, that adapter."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            *_MODEL_RULES,
            *(
                Rule(
                    f"!has(self.{name}) || has(self.adapterUri)",
                    f"{name} belongs to adapterUri: give that too, or remove it",
                    field=f".{name}",
                )
                for name in ("adapterRevision", "adapterCredentialsSecretRef")
            ),
            Rule(
                "!has(self.adapterRevision) || !has(self.adapterUri)"
                " || self.adapterUri.startsWith('hf://')",
                "adapterRevision is used with hf:// only: put the tag or digest of an oci://"
                " adapter into adapterUri, and remove it elsewhere",
                field=".adapterRevision",
            ),
            Rule(
                "!has(self.adapterCredentialsSecretRef) || !has(self.adapterUri)"
                " || self.adapterUri.startsWith('hf://') || self.adapterUri.startsWith('oci://')",
                "adapterCredentialsSecretRef is used with hf:// and oci:// only: remove it",
                field=".adapterCredentialsSecretRef",
            ),
        )
    )

    adapter_uri: AdapterUri | None = None
    """An adapter of this base model from which training goes on, such as output.storageUri of an
    earlier job: its method and settings are those of `method`, and what is published is one adapter
    for the base model. The schemes of storageUri but s3:// and abfs://. Absent: training starts
    from the base model."""
    adapter_revision: Revision | None = None
    """Branch, tag or commit of an hf:// adapter. Absent: main. The commit or digest that was used
    is in status.resolved.adapterRevision."""
    adapter_credentials_secret_ref: SecretReference | None = None
    """Secret for adapterUri, as credentialsSecretRef is for storageUri. Mounted only into the
    container that fetches the adapter. Absent: the adapter is public."""

    def adapter(self) -> ModelSource | None:
        """The adapter as something to fetch."""
        if self.adapter_uri is None:
            return None
        return ModelSource(
            storage_uri=self.adapter_uri,
            revision=self.adapter_revision,
            credentials_secret_ref=self.adapter_credentials_secret_ref,
        )


class DataSource(ApiModel):
    """Examples as JSON lines: a .jsonl file, or a directory of such files."""

    model_config = ConfigDict(
        json_schema_extra=rules(_NO_CREDENTIALS_NEEDED, *_IDENTITY_OF_THE_STORE)
    )

    storage_uri: DataUri
    """Where the examples lie: `pvc://claim/path`, `oci://registry/repository:tag`,
    `s3://bucket/path`, `abfs://container@account.dfs.core.windows.net/path` (Azure Storage),
    `hf://datasets/owner/name/path` or `file:///path` (a path inside the trainer image). A
    .jsonl file, or a directory of which all .jsonl files are read."""
    credentials_secret_ref: SecretReference | None = None
    """Secret for the source: key `token` for hf://, `.dockerconfigjson` for oci://. Mounted only
    into the container that fetches. Absent: the source is public."""
    workload_identity: WorkloadIdentity | None = None
    """Who fetches from s3:// or abfs://, by a token of the pod's ServiceAccount
    (podTemplate.serviceAccountName) that only the container that fetches gets. Absent: the source
    is public."""


class TrainSource(DataSource):
    """Examples to learn from, and how much of an epoch they are."""

    weight: Weight | None = None
    """Share of this source in an epoch, beside the weights of the others; how many examples it has
    does not count. An epoch is as many examples as all sources have together: a small source of
    great weight is gone through several times in one, and of a large one of little weight other
    examples are drawn each time. All sources have a weight, or none. Absent: every example is in an
    epoch once."""
