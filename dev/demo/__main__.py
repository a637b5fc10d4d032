"""`make demo`: from a bare clone to a tuned model that answers.

A cluster, the images, `helm install`, `kubectl apply -f examples/chat/job.yaml`, live progress,
and three held-out questions to the base model and to the tuned one. Run again, it goes on where
it was stopped; a job that is over is run anew.

Exit status: 0 when the tuned answers hold the facts and the base's do not, 1 when something
failed, 2 when it ran but the answers are not so, 130 after Ctrl-C.
"""

from __future__ import annotations

import json
import sys
import time

from job import answering, describe, describe_workspace, finished, follow, is_true
from questions import ask, read
from shell import IMAGES, OPERATOR_NAMESPACE, ROOT, DemoError, Kubectl, Object, make, run
from terminal import Terminal, clock

NAMESPACE = "demo"
JOB = "chat"
WORKSPACE = "assistant"
JOBS = "finetunejobs.finetune.dev"
WORKSPACES = "inferenceworkspaces.finetune.dev"
EXAMPLE = ROOT / "examples/chat"
ASKED = 3
EXEC = "dev/cluster/devcluster exec --"


def main() -> int:
    terminal = Terminal()
    started = time.monotonic()
    try:
        right = demo(terminal)
    except DemoError as error:
        terminal.say(f"\nFAILED: {error}\n{where_to_look()}")
        return 1
    except KeyboardInterrupt:
        terminal.say("\nStopped. The cluster is still up; what was started in it goes on.")
        terminal.say(how_to_go_on())
        return 130
    terminal.say("\nTime of each stage:")
    for name, seconds in terminal.times:
        terminal.say(f"    {name:<10} {clock(seconds):>6}")
    terminal.say(f"    {'all':<10} {clock(time.monotonic() - started):>6}\n\n{what_next()}")
    return 0 if right else 2


def demo(terminal: Terminal) -> bool:
    """Everything in order; True when the answers are as they should be."""
    with terminal.stage("cluster", "a Kubernetes on this machine (make cluster-up)"):
        make("tools")  # the images' layers too, while the cluster's programs compile
        make("cluster-up")
    with terminal.stage("images", "operator, trainer, base model and data (make images)"):
        make("images")
    with terminal.stage("install", f"helm upgrade --install in namespace {OPERATOR_NAMESPACE}"):
        install()
    kubectl = Kubectl(NAMESPACE)
    with terminal.stage("train", "kubectl apply -f examples/chat/job.yaml"):
        job = train(terminal, kubectl)
    with terminal.stage("serve", f"InferenceWorkspace {WORKSPACE} until it really answers"):
        follow(
            kubectl, WORKSPACES, WORKSPACE,
            until=answering, line=describe_workspace, terminal=terminal, minutes=10,
        )  # fmt: skip
    with terminal.stage("ask", f"{ASKED} held-out questions, to both"):
        right = questions(terminal, kubectl)
    show(terminal, kubectl, job)
    return right


def install() -> None:
    run(
        "helm", "upgrade", "--install", "finetune-operator", "charts/finetune-operator",
        "--namespace", OPERATOR_NAMESPACE, "--create-namespace",
        "--values", str(IMAGES), "--wait", "--timeout", "5m",
        "--take-ownership", "--force-conflicts",
        seconds=330,
    )  # fmt: skip


def train(terminal: Terminal, kubectl: Kubectl) -> Object:
    kubectl.apply(
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": NAMESPACE,
                "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
            },
        }
    )
    present = kubectl.get(JOBS, JOB)
    if present and (is_true(present, "Succeeded") or is_true(present, "Failed")):
        terminal.say("    the job of an earlier demo is over: deleted, to run it anew")
        kubectl("delete", JOBS, JOB, "--wait", "--timeout=50s")
    file = str(EXAMPLE / "job.yaml")
    job = json.loads(kubectl("create", "--dry-run=client", "--output", "json", "--filename", file))
    # What an earlier demo has published would be used, and nothing trained.
    job["spec"]["reusePolicy"] = "Always"
    kubectl.apply(job)
    return follow(
        kubectl, JOBS, JOB,
        until=finished, line=describe, terminal=terminal, minutes=25,
    )  # fmt: skip


def questions(terminal: Terminal, kubectl: Kubectl) -> bool:
    right = True
    for question in read(EXAMPLE / "questions.json")[:ASKED]:
        base = ask(kubectl, WORKSPACE, "base", question)
        tuned = ask(kubectl, WORKSPACE, WORKSPACE, question)
        knows = question.answered_by(tuned) and not question.answered_by(base)
        right &= knows
        terminal.say(f"\n    Q: {question.text}   (to be found: {', '.join(question.words)})")
        terminal.beside(f"base: {base}", f"tuned: {tuned}")
        if not knows:
            terminal.say("    ✗ the tuned answer should hold the fact, and the base's should not")
    return right


def show(terminal: Terminal, kubectl: Kubectl, job: Object) -> None:
    evaluation = job["status"]["evaluation"]
    terminal.say(f"\n$ kubectl get finetunejob --namespace {NAMESPACE}")
    terminal.say(kubectl("get", JOBS, JOB).rstrip())
    terminal.say(
        f"\nLoss on held-out data: base {evaluation['base']['Loss']},"
        f" tuned {evaluation['tuned']['Loss']}"
    )


def what_next() -> str:
    path = f"/api/v1/namespaces/{NAMESPACE}/services/{WORKSPACE}:80/proxy/v1/chat/completions"
    message = '{"role": "user", "content": "How do I resume a FineTuneJob?"}'
    return f"""Type next:
    {EXEC} kubectl -n {NAMESPACE} describe finetunejob {JOB}
    {EXEC} kubectl -n {NAMESPACE} get inferencerevisions,inferenceworkspaces
    echo '{{"model": "{WORKSPACE}", "messages": [{message}]}}' |
        {EXEC} kubectl create --raw {path} -f -
    make cluster-down"""


def how_to_go_on() -> str:
    return f"""    go on:    make demo
    look:     {EXEC} kubectl -n {NAMESPACE} get finetunejob {JOB} --watch
    remove:   make cluster-down"""


def where_to_look() -> str:
    return f"""    {EXEC} kubectl -n {NAMESPACE} describe finetunejob {JOB}
    {EXEC} kubectl -n {NAMESPACE} get pods,events
    {EXEC} kubectl -n {NAMESPACE} logs --prefix --all-containers -l finetune.dev/job={JOB}
    {EXEC} kubectl -n {OPERATOR_NAMESPACE} logs deployment/finetune-operator
Once it is mended, make demo goes on from there."""


if __name__ == "__main__":
    sys.exit(main())
