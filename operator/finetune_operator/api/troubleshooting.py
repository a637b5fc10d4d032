"""What is behind a reason, where that is not plain from its meaning, and how to see it."""

from collections.abc import Mapping
from dataclasses import dataclass

from finetune_operator.api.reason import Reason

_CONDITIONS = "kubectl describe finetunejob NAME"
_PODS = "kubectl get pods -l finetune.dev/job=NAME -o wide"
_DESCRIBED = "kubectl describe pods -l finetune.dev/job=NAME"
_LOGS = "kubectl logs -l finetune.dev/job=NAME --all-containers --prefix --tail=50"
_REVISIONS = (
    "kubectl get inferencerevisions -o custom-columns="
    "NAME:.metadata.name,WORKSPACE:.spec.workspaceName,MODEL:.spec.model.storageUri"
)
_EVALUATION = "kubectl get finetunejob NAME -o jsonpath='{.status.evaluation}'"
_CLASSES = "kubectl get finetuneclasses -o yaml"
_NODES = "kubectl get finetunejob NAME -o jsonpath='{.status.nodes}'"


@dataclass(frozen=True, slots=True)
class Advice:
    """Causes and commands; what to change is the reason's remedy."""

    cause: str
    """What leads to it, the likeliest first."""

    commands: tuple[str, ...] = ()
    """What to type, in the namespace of the job or workspace NAME."""

    signs: frozenset[str] = frozenset()
    """What Kubernetes calls it, in a state, an event or a message: by these words it is told."""


ADVICE: Mapping[Reason, Advice] = {
    # The way of a job.
    Reason.NOT_REUSED: Advice(
        "The FineTuneClass names the trainer image by a tag, the registry did not answer, or what"
        " is recorded there was deleted or changed since: [reuse.md](reuse.md).",
        (_CONDITIONS, _CLASSES, _LOGS),
    ),
    Reason.WAITING_FOR_TURN: Advice(
        "Two halves of jobs would hold the nodes that each other needs, so whole jobs start one at"
        " a time. Or a queue such as Kueue holds the Job until there is quota.",
        ("kubectl get finetunejobs --all-namespaces", "kubectl get workloads"),
    ),
    Reason.HELD_BY_QUEUE: Advice(
        "The queue's quota is used up, a job of higher priority goes first, or no LocalQueue of"
        " that name is in the namespace.",
        ("kubectl describe workloads", "kubectl get localqueues"),
    ),
    Reason.NOTHING_HELD_OUT: Advice(
        "There is no dataset.validation, and validationFraction of so few examples is none.",
        ("kubectl get finetunejob NAME -o jsonpath='{.spec.dataset}'",),
    ),
    Reason.HELD_OUT_LEARNED: Advice(
        "The two files overlap: often one was cut out of the other, or lines occur twice.",
        (_CONDITIONS,),
    ),
    Reason.GATE_FAILED: Advice(
        "The tuned model does not reach the bound, on the examples that were held out: too few"
        " steps, too high a learning rate, or a bound that the data cannot give.",
        (_EVALUATION, "kubectl get finetunejob NAME -o jsonpath='{.spec.evaluation.gates}'"),
    ),
    Reason.SUSPENDED: Advice(
        "A person, a script or a GitOps tool has set it; checkpoints are kept.",
        ('kubectl patch finetunejob NAME --type merge -p \'{"spec": {"suspend": false}}\'',),
    ),
    Reason.BUDGET_EXCEEDED: Advice(
        "Training took longer, or its nodes cost more, than somebody allowed; or so little is left"
        " that a checkpoint would not be written in time. The nodes were given back.",
        ("kubectl get finetunejob NAME -o jsonpath='{.status.cost}'", _CONDITIONS, _CLASSES),
    ),
    # Waiting for something outside.
    Reason.INSUFFICIENT_CAPACITY: Advice(
        "The region or zone has no such machine left, most often of spot machines. The next of"
        " compute.instanceTypes is asked for at once, the same one again later.",
        (_NODES, _CONDITIONS),
    ),
    Reason.NODE_QUOTA_EXCEEDED: Advice(
        "The subscription's vCPU quota of that machine family and region is used up, or 0.",
        (_NODES, _CONDITIONS),
    ),
    Reason.PROVISIONER_MISCONFIGURED: Advice(
        "The FineTuneClass names a subscription, group, cluster or subnet that is not there, or the"
        " operator's identity has no role on the cluster.",
        (_CLASSES, _CONDITIONS),
    ),
    Reason.PROVISIONING_FAILED: Advice(
        "The instance type does not exist in that region, or the cluster does not support it.",
        (_CONDITIONS, _CLASSES),
    ),
    Reason.UNSCHEDULABLE: Advice(
        "No node is large enough, all are taken, a nodeSelector matches none, or a taint keeps the"
        " pod away. On GPU: no node offers nvidia.com/gpu, as when its device plugin is missing.",
        (_DESCRIBED, "kubectl describe nodes"),
    ),
    Reason.IMAGE_PULL: Advice(
        "The digest is not in the registry, the registry needs a pull secret, or the node cannot"
        " reach it.",
        (_DESCRIBED, _CLASSES),
        frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}),
    ),
    Reason.VOLUME_PENDING: Advice(
        "The StorageClass does not exist or its provisioner has failed, a node cannot mount the"
        " volume, or the cloud has no more to give.",
        ("kubectl describe persistentvolumeclaim NAME", "kubectl get storageclasses", _DESCRIBED),
        frozenset({"FailedMount", "FailedAttachVolume", "FailedMapVolume"}),
    ),
    Reason.VOLUME_MISSING: Advice(
        "A pvc:// source is misspelled or of another namespace. If the job has Failed: its own"
        " volume was deleted, and inputs and checkpoints with it.",
        ("kubectl get persistentvolumeclaims",),
    ),
    Reason.SECRET_MISSING: Advice(
        "It was never created in this namespace, is misspelled, or a tool that should make it"
        " (External Secrets, Sealed Secrets) has not.",
        (_DESCRIBED, "kubectl get secrets"),
    ),
    Reason.QUOTA_EXCEEDED: Advice(
        "Other pods use the quota up, or it demands limits that the job does not give.",
        ("kubectl describe resourcequotas", "kubectl get pods"),
        frozenset({"exceeded quota"}),
    ),
    Reason.PODS_FORBIDDEN: Advice(
        "podTemplate names a ServiceAccount or PriorityClass that does not exist, or an admission"
        " policy of the cluster refuses the pods. The restricted Pod Security profile does not.",
        ("kubectl get events --field-selector reason=FailedCreate", "kubectl get serviceaccounts"),
        frozenset({"FailedCreate"}),
    ),
    Reason.CONTAINER_CANNOT_START: Advice(
        "podTemplate.env reads a key of a ConfigMap or Secret that is not there, the runtime class"
        " is not installed on the node, or the image is not one of this project's.",
        (_DESCRIBED, _LOGS),
        frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}),
    ),
    Reason.NODE_LOST: Advice(
        "The machine, its kubelet or its network is down, or a spot machine was taken away without"
        " notice. Pods that do not end within 30 s are removed by force; nothing is counted.",
        ("kubectl get nodes", _PODS),
    ),
    Reason.UNAVAILABLE: Advice(
        "A time-out, a refused connection, an answer of 429 or 5xx, or a full volume. Often a"
        " NetworkPolicy or proxy that keeps pods from a hub.",
        (_CONDITIONS, _LOGS),
    ),
    Reason.KAITO_MISSING: Advice(
        "KAITO is not installed, or only in a version before kaito.sh/v1beta1. Nothing has to be"
        " trained again.",
        ("kubectl api-resources --api-group=kaito.sh",),
    ),
    # The job as written cannot be carried out.
    Reason.CLASS_NOT_FOUND: Advice(
        "The chart was installed with class.create=false and no class was made, or the name is"
        " misspelled. It goes on as soon as the class is there. An operator of some namespaces only"
        " knows the classes of its own chart (docs/tenancy.md).",
        ("kubectl get finetuneclasses",),
    ),
    Reason.NOT_ALLOWED: Advice(
        "Registries or nodes are bounded by the class, which belongs to the platform team.",
        (_CLASSES,),
    ),
    Reason.VOLUME_NOT_SHARED: Advice(
        "The provisioner is known to make volumes of one node only, such as a disk.",
        ("kubectl get storageclasses",),
    ),
    Reason.NAME_TAKEN: Advice(
        "A Service, ConfigMap, volume claim or Workspace of that name was made by somebody else;"
        " or a revision has the name of its workspace.",
        ("kubectl get services,deployments,configmaps,persistentvolumeclaims",),
    ),
    # How attempts end.
    Reason.CONFIGURATION_ERROR: Advice(
        "A field names what the model or the registry does not have, or the memory of the pod is"
        " too small before any data. The messages are in [bad-inputs.md](bad-inputs.md).",
        (_CONDITIONS, "finetune check job.yaml"),
    ),
    Reason.DATA_ERROR: Advice(
        "A line is no JSON, not of the format, or has nothing to learn. The messages are in"
        " [bad-inputs.md](bad-inputs.md).",
        (_CONDITIONS, "finetune check job.yaml"),
    ),
    Reason.OUT_OF_MEMORY: Advice(
        "Sequences are too long or too many at a time for the container's limit or for the GPU.",
        ("finetune plan job.yaml", _DESCRIBED),
        frozenset({"OOMKilled"}),
    ),
    Reason.PREEMPTED: Advice(
        "A drain, a scale-down, a queue, a pod of higher priority or spec.suspend. The next attempt"
        " goes on from the checkpoint.",
        (_PODS,),
        frozenset({"SIGTERM"}),
    ),
    Reason.DISRUPTED: Advice(
        "An eviction, a lost node, a full disk of the node, or a person who deleted a pod or Job."
        " The next attempt goes on from the last checkpoint.",
        ("kubectl get events", _PODS),
        frozenset({"DisruptionTarget"}),
    ),
    Reason.DIVERGED: Advice(
        "The learning rate is too high for this model, or 16 bits are too few for its numbers.",
        (_CONDITIONS, _LOGS),
    ),
    Reason.SUPERSEDED: Advice(
        "A node that did not answer came back with a pod of an older attempt, which stopped"
        " itself.",
        (_PODS,),
    ),
    Reason.PEER_LOST: Advice(
        "In a job of several nodes: what happened is what the other pod's end says.",
        (_PODS, _LOGS),
    ),
    Reason.FEWER_NODES: Advice(
        "A machine was lost and has not come back: its hardware, or no capacity for another one."
        " Once there is room, spec.suspend set and taken back starts an attempt that asks for all.",
        (_CONDITIONS, "kubectl get nodes", _NODES),
    ),
    Reason.CREDENTIALS_REFUSED: Advice(
        "The token has expired, may not read (or write) this repository, or the Secret's type is"
        " not kubernetes.io/dockerconfigjson. Gated models of a hub: its terms were not accepted.",
        ("kubectl describe secret SECRET", _CONDITIONS),
    ),
    Reason.STUCK: Advice(
        "The processes of several nodes wait for each other over a network that is blocked, or"
        " reading from or writing to the volume does not end.",
        (_LOGS, _PODS),
    ),
    Reason.TRAINER_FAILED: Advice(
        "A defect of ours or of a library, a driver that does not fit the image, or a process that"
        " the kernel killed because the node ran out of memory.",
        (_LOGS, _DESCRIBED),
    ),
    Reason.RESTART_LIMIT_REACHED: Advice(
        "The same error each time is the job's; a different one each time is the cluster's.",
        (_CONDITIONS, "kubectl get events --field-selector involvedObject.name=NAME", _LOGS),
    ),
    # Serving.
    Reason.REVISION_NOT_FOUND: Advice(
        "It was never published, or was deleted: beyond revisionHistoryLimit only revisions that"
        " traffic names are kept.",
        (_REVISIONS,),
    ),
    Reason.NO_REVISION: Advice(
        "The workspace was created before the first result was published to it, which is no fault.",
        ("kubectl get finetunejobs",),
    ),
    Reason.OTHER_BASE_MODEL: Advice(
        "model.storageUri or its revision differs between the jobs; one server holds one base"
        " model.",
        (_REVISIONS,),
    ),
    Reason.RUNTIME_UNAVAILABLE: Advice(
        "The class has no vLLM image, or an adapter is of a kind that the runtime does not load"
        " ([combinations.md](combinations.md)).",
        (_CLASSES, _REVISIONS),
    ),
    Reason.SWITCHED_OFF: Advice(
        "A person or a GitOps tool has set it.",
        ('kubectl patch inferenceworkspace NAME --type merge -p \'{"spec": {"replicas": 1}}\'',),
    ),
}
"""Reasons that are not here are steps on the way."""
