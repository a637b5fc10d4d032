"""A workspace serves for real: the serving container, adapters from the registry, the network."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from finetune_operator.api.fine_tune_class import FineTuneClass
from finetune_operator.api.inference_revision import InferenceRevision
from finetune_operator.api.inference_workspace import InferenceWorkspace
from finetune_operator.domain.actions import Apply
from finetune_operator.domain.inference.decide import decide
from finetune_operator.domain.inference.observed import Observed
from finetune_trainer.oci.layout import pack
from finetune_trainer.oci.reference import ImageReference
from finetune_trainer.oci.registry import Registry
from tests.cluster.kube import Kube, Object, condition, is_true
from tests.cluster.tiny_model import write_tiny_model
from tests.unit.inference.builders import NOW

READY_WITHIN = 420  # s: the image may have to be pulled first, and torch takes its time to load
SMALL = {"resources": {"requests": {"cpu": "50m", "memory": "400Mi"}, "limits": {"memory": "2Gi"}}}
# PEFT 0.21 asks for a property that transformers 5.23 has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")

QUESTION: Any = [{"role": "user", "content": "What is a FineTuneJob?"}]


@dataclass(frozen=True)
class Images:
    """What is served, in the registry."""

    base: str
    other_base: str
    adapters: tuple[str, ...]


@pytest.fixture(scope="module")
def images_of_models(cluster: Object, tmp_path_factory: pytest.TempPathFactory) -> Images:
    """Two base models and two adapters over the first that change what it says."""
    folder, registry = tmp_path_factory.mktemp("models"), cluster["registry"]
    torch.manual_seed(0)
    write_tiny_model(folder / "base")
    write_tiny_model(folder / "other")
    for seed in (1, 2):
        write_adapter(folder / "base", folder / f"adapter-{seed}", seed)

    def push(name: str) -> str:
        files = {path.name: path for path in (folder / name).iterdir()}
        packed = pack(files, {}, folder / "images" / name)
        target = ImageReference.parse(f"oci://{registry}/serving/{name}:v1")
        Registry(None, (registry,)).push(packed, target)
        return f"{registry}/serving/{name}@{packed.digest}"

    return Images(push("base"), push("other"), (push("adapter-1"), push("adapter-2")))


def write_adapter(base: Path, folder: Path, seed: int) -> None:
    """A LoRA adapter that has learned noise: its answers differ from those of the base model."""
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base),
        LoraConfig(r=4, target_modules=["q_proj", "v_proj", "down_proj"], task_type="CAUSAL_LM"),
    )
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_" in name:
                weight.copy_(torch.randn(weight.shape, generator=generator))
    model.save_pretrained(str(folder))


def revision(name: str, base: str, adapter: str | None) -> Object:
    spec: Object = {"workspaceName": "support", "model": {"storageUri": f"oci://{base}"}}
    return {
        "apiVersion": "finetune.dev/v1beta1",
        "kind": "InferenceRevision",
        "metadata": {"name": name},
        "spec": spec | ({"adapter": {"image": adapter}} if adapter else {}),
    }


def workspace(**spec: Any) -> Object:
    return {
        "apiVersion": "finetune.dev/v1beta1",
        "kind": "InferenceWorkspace",
        "metadata": {"name": "support"},
        "spec": {"podTemplate": SMALL, **spec},
    }


def client_of(kube: Kube, service: str) -> openai.OpenAI:
    """OpenAI's own client, against the Service as pods see it."""
    address = kube.get("service", service)["spec"]["clusterIP"]
    return openai.OpenAI(base_url=f"http://{address}/v1", api_key="none", timeout=30, max_retries=0)


def ask(client: openai.OpenAI, model: str) -> tuple[str, str]:
    """Who answered, and what; greedy, so that the same model says the same again."""
    answer = client.chat.completions.create(
        model=model, messages=QUESTION, max_tokens=8, temperature=0
    )
    return answer.model, answer.choices[0].message.content or ""


def answers_with(*names: str) -> Any:
    """Whether the workspace is ready and reports exactly these revisions."""

    def holds(item: Object) -> bool:
        told = {each["name"] for each in item.get("status", {}).get("revisions", [])}
        current = item["status"].get("observedGeneration") == item["metadata"]["generation"]
        return is_true(item, "Ready") and current and told == set(names)

    return lambda item: "status" in item and holds(item)


class Asker:
    """Asks all the time, to see whether a client would have noticed anything."""

    def __init__(self, client: openai.OpenAI) -> None:
        self._client = client
        self._stop = threading.Event()
        self.answered = 0
        self.errors: list[str] = []

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        thread = threading.Thread(target=self._ask)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join(timeout=60)

    def _ask(self) -> None:
        while not self._stop.wait(0.2):  # leaves the processor to the pods that start
            try:
                ask(self._client, "base")
                self.answered += 1
            except openai.OpenAIError as error:
                self.errors.append(repr(error))


@pytest.mark.timeout(1500)
def test_a_workspace_from_first_revision_to_canary(kube: Kube, images_of_models: Images) -> None:
    base, (first, second) = images_of_models.base, images_of_models.adapters
    kube.apply(workspace())
    nothing = kube.wait_for(
        "inferenceworkspaces.finetune.dev",
        "support",
        lambda item: condition(item, "Ready").get("reason") == "NoRevision",
        deadline=30,
    )
    assert "FineTuneJob" in condition(nothing, "Ready")["message"]

    kube.apply(revision("support-0001", base, first))
    ready = kube.wait_for(
        "inferenceworkspaces.finetune.dev",
        "support",
        answers_with("support-0001"),
        deadline=READY_WITHIN,
    )
    assert ready["status"]["endpoint"] == f"http://support.{kube.namespace}.svc/v1"
    client = client_of(kube, "support")
    assert [model.id for model in client.models.list()] == ["support", "support-0001", "base"]
    who, said = ask(client, "support")
    assert (who, said) == ask(client, "support-0001")
    of_base = ask(client, "base")[1]
    assert said != of_base
    assert streamed(client, "support-0001") == said
    with pytest.raises(openai.NotFoundError, match="support-0001"):
        ask(client, "unknown")

    asker = Asker(client)
    with asker.asking():
        kube.apply(revision("support-0002", base, second))
        kube.wait_for(
            "inferenceworkspaces.finetune.dev",
            "support",
            answers_with("support-0001", "support-0002"),
            deadline=READY_WITHIN,
        )
        kube.wait_for(
            "deployment",
            "support",
            lambda item: item["status"].get("terminatingReplicas", 0) == 0,
            deadline=READY_WITHIN,
        )
    assert asker.answered > 0
    assert asker.errors == []
    new = ask(client, "support")
    assert new == ask(client, "support-0002")
    assert len({said, of_base, new[1]}) == 3
    assert ask(client, "support-0001")[1] == said

    split = [
        {"latestRevision": True, "percent": 50},
        {"revisionName": "support-0001", "percent": 50},
    ]
    kube.patch("inferenceworkspaces.finetune.dev", "support", {"spec": {"traffic": split}})
    kube.wait_for(
        "inferenceworkspaces.finetune.dev",
        "support",
        lambda item: (
            answers_with("support-0001", "support-0002")(item)
            and {each["percent"] for each in item["status"]["revisions"]} == {50}
        ),
        deadline=READY_WITHIN,
    )
    # A kept connection still leads to the pod of before, for the seconds in which that one leaves.
    # Each revision is missed by all of 60 requests once in 10^18 runs.
    anew = client.with_options(default_headers={"Connection": "close"})
    assert {ask(anew, "support")[0] for _ in range(60)} == {"support-0001", "support-0002"}

    kube.apply(revision("support-0003", images_of_models.other_base, None))
    refused = kube.wait_for(
        "inferenceworkspaces.finetune.dev",
        "support",
        lambda item: condition(item, "RevisionsAccepted").get("status") == "False",
        deadline=30,
    )
    assert "support-0003 is over" in condition(refused, "RevisionsAccepted")["message"]
    assert is_true(refused, "Ready")
    (pod,) = kube.items("pods", "finetune.dev/workspace=support,pod-template-hash")[-1:]
    assert any("image" in volume for volume in pod["spec"]["volumes"])
    kube.delete("inferenceworkspaces.finetune.dev", "support", wait=90)
    kube.wait_gone("deployment", "support", deadline=60)
    assert kube.exists("inferencerevisions.finetune.dev", "support-0001")


def streamed(client: openai.OpenAI, model: str) -> str:
    chunks = client.chat.completions.create(
        model=model, messages=QUESTION, max_tokens=8, temperature=0, stream=True
    )
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


@pytest.mark.timeout(600)
def test_adapters_are_fetched_where_there_are_no_image_volumes(
    kube: Kube, images_of_models: Images
) -> None:
    """What an older cluster gets; without its owner, so that the operator lets it be."""
    named = {"name": "older", "namespace": kube.namespace, "uid": "none"}
    made = revision("older-0001", images_of_models.base, images_of_models.adapters[0])
    made["spec"]["workspaceName"] = "older"
    seen = Observed(
        workspace=InferenceWorkspace.from_stored({**workspace(), "metadata": named}),
        finetune_class=FineTuneClass.from_stored(Kube("").get("finetuneclass", "default")),
        revisions=(InferenceRevision.from_stored(made),),
    )
    for action in decide(dataclasses.replace(seen, image_volumes=False), NOW).actions:
        assert isinstance(action, Apply)
        metadata = {k: v for k, v in action.manifest["metadata"].items() if k != "ownerReferences"}
        kube.apply({**action.manifest, "metadata": metadata})
    kube.wait_for(
        "deployment",
        "older",
        lambda item: item.get("status", {}).get("availableReplicas") == 1,
        deadline=READY_WITHIN,
    )
    client = client_of(kube, "older")
    assert ask(client, "older-0001")[1] != ask(client, "base")[1]
