"""What a job has published goes on answering, with or without the job."""

from __future__ import annotations

import openai

from tests.cluster.kube import Kube, Object, is_true
from tests.cluster.resilience.jobs import Sources, finetune_job

WORKSPACE = "inferenceworkspaces.finetune.dev"
REVISION = "inferencerevisions.finetune.dev"
CHANGE: Object = {
    "spec": {
        "training": {"maxSteps": 2},
        "publish": {"type": "Workspace", "workspace": {"name": "answers"}},
    }
}
ENDS_WITHIN = 420


def answers(kube: Kube, model: str) -> bool:
    """Whether the Service, as pods see it, says anything in the name of the model."""
    address = kube.get("service", "answers")["spec"]["clusterIP"]
    client = openai.OpenAI(base_url=f"http://{address}/v1", api_key="none", timeout=30)
    with client:
        answer = client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "0123"}], max_tokens=2
        )
    return answer.usage is not None and answer.usage.completion_tokens > 0


def test_a_published_model_outlives_its_job(kube: Kube, sources: Sources) -> None:
    kube.apply(finetune_job("teacher", sources, kube.namespace, change=CHANGE))
    job = kube.wait_for_job("teacher", deadline=ENDS_WITHIN)
    assert job["status"]["published"]["revision"] == "answers-0001"
    kube.delete("finetunejob", "teacher", wait=120)
    kube.wait_gone("job", "teacher-train-1", deadline=60)
    assert is_true(kube.get(WORKSPACE, "answers"), "Ready")
    assert answers(kube, "answers-0001")

    kube.patch(WORKSPACE, "answers", {"spec": {"replicas": 2}})
    kube.wait_for("poddisruptionbudget", "answers", lambda _: True, deadline=60)
    kube.patch(WORKSPACE, "answers", {"spec": {"replicas": 1, "revisionHistoryLimit": 1}})
    kube.wait_gone("poddisruptionbudget", "answers", deadline=60)

    first = kube.get(REVISION, "answers-0001")
    later = {key: first[key] for key in ("apiVersion", "kind", "spec")}
    labels = {"labels": first["metadata"]["labels"]}
    names = ("answers-0002", "answers-0003")
    kube.apply(*({**later, "metadata": {"name": name, **labels}} for name in names))
    kube.wait_gone(REVISION, "answers-0001", deadline=ENDS_WITHIN)
