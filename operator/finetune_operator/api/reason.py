"""Reasons of conditions: why something is so, in one word from a closed set."""

from enum import StrEnum
from typing import Self


class Reason(StrEnum):
    """Why a condition is as it is: `meaning`, and `remedy` where a person can do something."""

    def __new__(cls, value: str, meaning: str, remedy: str = "") -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        member.remedy = remedy
        return member

    meaning: str
    remedy: str

    # The way of a job.
    ACCEPTED = "Accepted", "The job was checked and its recipe is fixed."
    PREPARING = "Preparing", "Model and data are being fetched and checked."
    LOOKING = "Looking", "The output's repository is searched for a result of the same."
    NOTHING_TO_REUSE = (
        "NothingToReuse",
        "The output's repository holds no result of the same recipe, model, data and trainer image:"
        " it is trained.",
    )
    NOT_REUSED = (
        "NotReused",
        "An earlier result could not be looked for, or what was found cannot be used; the message"
        " says why, and it is trained.",
        "Nothing for this job, which trains; so that later ones find its result, correct what the"
        " message names: images.trainer, output.credentialsSecretRef, or what the registry holds.",
    )
    REUSED = (
        "Reused",
        "An earlier result of the same recipe, model, data and trainer image is used.",
    )
    WAITING_FOR_TURN = (
        "WaitingForTurn",
        "As many jobs run as the FineTuneClass allows, or another job of several nodes is starting;"
        " whole jobs start one at a time.",
        "Wait, set spec.suspend of a job that runs, or ask the platform team for a higher limit.",
    )
    HELD_BY_QUEUE = (
        "HeldByQueue",
        "A queue such as Kueue's has not admitted the Job, or has preempted it; the message is the"
        " queue's own.",
        "Wait, or ask for more quota; `kubectl describe workloads` shows what the queue lacks.",
    )
    ADMITTED = "Admitted", "The job may create its pods."
    SCHEDULED = "Scheduled", "Every pod has a node."
    STARTING = "Starting", "Pods are being created, or their containers are not running yet."
    TRAINING = "Training", "The attempt is running."
    TRAINED = "Trained", "The completion manifest was written and read."
    EVALUATED = "Evaluated", "What was measured is in status.evaluation."
    NOTHING_HELD_OUT = (
        "NothingHeldOut",
        "There was no held-out example to measure on.",
        "Give dataset.validation, or a larger dataset.validationFraction.",
    )
    HELD_OUT_LEARNED = (
        "HeldOutLearned",
        "Held-out examples are in the training data too, so that results on them are too good.",
        "Take the examples that the message names out of dataset.train or dataset.validation.",
    )
    GATE_FAILED = (
        "GateFailed",
        "A gate of spec.evaluation.gates does not hold: the artifact is kept, nothing published.",
        "Compare the numbers in the message; train otherwise, or set other gates, in another job.",
    )
    PUBLISHING = "Publishing", "The output is being pushed or published."
    PUBLISHED = "Published", "The result is where spec.output and spec.publish say."
    SUSPENDED = "Suspended", "spec.suspend is true.", "Set spec.suspend to false to go on."
    RESUMED = "Resumed", "Nothing holds the job back any longer; it goes on from its checkpoint."
    BUDGET_EXCEEDED = (
        "BudgetExceeded",
        "What the job may cost, or how long it may take, is used up; a checkpoint is kept.",
        "Raise spec.budget, or the limit of the FineTuneClass that the message names; the job goes"
        " on by itself.",
    )
    SUCCEEDED = "Succeeded", "Everything asked for is there."
    IN_PROGRESS = "InProgress", "Nothing stands in the way; the phase says how far it is."
    FINISHED = "Finished", "There is nothing left to do."
    PENDING = "Pending", "What this condition speaks of has not been reached yet."

    # Waiting for something outside.
    UNSCHEDULABLE = (
        "Unschedulable",
        "No node can take a pod; the message is the scheduler's.",
        "Lower podTemplate.resources or nodes, fix nodeSelector or affinity, or add nodes.",
    )
    IMAGE_PULL = (
        "ImagePull",
        "The kubelet cannot pull an image.",
        "Fix the image that the FineTuneClass names, or podTemplate.imagePullSecrets.",
    )
    VOLUME_PENDING = (
        "VolumePending",
        "The PersistentVolumeClaim has no volume yet.",
        "Fix checkpoint.volumeClaim: storageClassName, accessModes, size.",
    )
    VOLUME_MISSING = (
        "VolumeMissing",
        "A PersistentVolumeClaim does not exist: that of a pvc:// source, or the job's own.",
        "Create the claim that the message names, or fix storageUri; a job whose own was deleted is"
        " created again.",
    )
    SECRET_MISSING = (
        "SecretMissing",
        "A Secret that is to be mounted, or a key of it, does not exist.",
        "Create it, or fix credentialsSecretRef.",
    )
    PROVISIONING = "Provisioning", "Nodes are being made for the job."
    RELEASING = "Releasing", "The job's nodes are being given back."
    RELEASED = "Released", "The job holds no node."
    INSUFFICIENT_CAPACITY = (
        "InsufficientCapacity",
        "The provider has no machine of the kind that was asked for.",
        "Wait, name more compute.instanceTypes, or use another compute.capacityType.",
    )
    NODE_QUOTA_EXCEEDED = (
        "NodeQuotaExceeded",
        "The provider's quota does not allow the machines.",
        "Ask the provider for more quota, or name other compute.instanceTypes.",
    )
    PROVISIONER_MISCONFIGURED = (
        "ProvisionerMisconfigured",
        "The provider refuses what the FineTuneClass says, or the operator lacks a permission"
        " there; it is tried again every few minutes.",
        "Correct the FineTuneClass or the operator's role as the message says; the job goes on by"
        " itself.",
    )
    PROVISIONING_FAILED = (
        "ProvisioningFailed",
        "The provider can never give what was asked for; the message is its own.",
        "Change compute.instanceTypes or the FineTuneClass as the message says, and create the job"
        " again.",
    )
    QUOTA_EXCEEDED = (
        "QuotaExceeded",
        "A ResourceQuota of the namespace does not allow the pods.",
        "Free quota, lower podTemplate.resources, or ask for more.",
    )
    PODS_FORBIDDEN = (
        "PodsForbidden",
        "The API server refuses the pods for another reason; the message is its own.",
        "Create the ServiceAccount or PriorityClass that the message names, or change what the"
        " policy that it names forbids in compute.podTemplate.",
    )
    CONTAINER_CANNOT_START = (
        "ContainerCannotStart",
        "A container cannot be started, or ends as soon as it is; the message says how.",
        "Fix what the message names in podTemplate (env, resources, runtimeClassName), or the image"
        " in the FineTuneClass.",
    )
    NODE_LOST = (
        "NodeLost",
        "A node stopped answering; the attempt goes on elsewhere.",
    )
    UNAVAILABLE = (
        "Unavailable",
        "A hub, a registry or the network is missing for now; it is tried again.",
        "Wait, or bring back what the message names (a host, room on the volume); nothing has to be"
        " created again.",
    )
    KAITO_MISSING = (
        "KAITOMissing",
        "The cluster does not know KAITO's Workspace.",
        "Install KAITO's workspace chart, and the job goes on; or set publish.type to Workspace in"
        " another job.",
    )

    # The job as written cannot be carried out.
    CLASS_NOT_FOUND = (
        "ClassNotFound",
        "The FineTuneClass does not exist.",
        "Create it, or fix spec.className; `kubectl get finetuneclasses` lists them.",
    )
    NOT_ALLOWED = (
        "NotAllowed",
        "The FineTuneClass does not allow it.",
        "Change the field that the message names, or ask the platform team to widen spec.allowed"
        " of the FineTuneClass.",
    )
    VOLUME_NOT_SHARED = (
        "VolumeNotShared",
        "nodes is more than 1 and the storage is known not to be shareable.",
        "Set checkpoint.volumeClaim.storageClassName to one that several nodes can mount.",
    )
    NAME_TAKEN = (
        "NameTaken",
        "An object of a name that this one needs exists and belongs to someone else.",
        "Delete or rename the object that the message names, or choose another name.",
    )

    # How attempts end; the names of the trainer's exit codes.
    CONFIGURATION_ERROR = (
        "ConfigurationError",
        "The recipe cannot work with this model.",
        "Change the field that the message names; a job that was Accepted is created again.",
    )
    DATA_ERROR = (
        "DataError",
        "The data cannot be used; the message names file and line.",
        "Correct the line that the message names and create the job again.",
    )
    OUT_OF_MEMORY = (
        "OutOfMemory",
        "The memory of the container or of the GPU ran out.",
        "Lower training.maxLength or tokensPerBatch, or raise podTemplate.resources.limits.memory,"
        " and create the job again.",
    )
    PREEMPTED = "Preempted", "A pod was asked to leave and saved a checkpoint; free of charge."
    DISRUPTED = "Disrupted", "A pod was evicted or deleted; free of charge."
    DIVERGED = (
        "Diverged",
        "The loss became infinite or not a number.",
        "Lower training.learningRate, raise warmupSteps or set precision: FP32, and create the job"
        " again.",
    )
    STUCK = (
        "Stuck",
        "The run took no step for many times as long as one takes; it was started again.",
        "Where it comes back: read the pods' logs at that step (`kubectl finetune logs`); of"
        " several nodes it is most often the network between them.",
    )
    SUPERSEDED = "Superseded", "A later attempt took over the volume; free of charge."
    PEER_LOST = "PeerLost", "Another pod of the attempt went away; its end decides."
    FEWER_NODES = (
        "FewerNodes",
        "Nodes did not come back in time; training goes on with those that are there, and the next"
        " attempt asks for all again.",
    )
    CREDENTIALS_REFUSED = (
        "CredentialsRefused",
        "A hub or registry answered 401 or 403.",
        "Fix the Secret that the message names, then create the job again.",
    )
    TRAINER_FAILED = (
        "TrainerFailed",
        "The trainer ended with an error that has no name of its own.",
        "Correct what the end of `kubectl logs` of the pod names; a process that was killed (exit"
        " 137) needs more podTemplate.resources.limits.memory.",
    )
    RESTART_LIMIT_REACHED = (
        "RestartLimitReached",
        "Attempts failed more often than spec.restarts.limit.",
        "Correct what the last error in the message names and create the job again; raise"
        " restarts.limit if it was the cluster's fault.",
    )

    # Serving.
    REVISION_NOT_FOUND = (
        "RevisionNotFound",
        "traffic names an InferenceRevision that does not exist.",
        "Fix spec.traffic; `kubectl get inferencerevisions` lists them.",
    )
    NO_REVISION = (
        "NoRevision",
        "No InferenceRevision belongs to this workspace yet.",
        "Create a FineTuneJob whose publish.workspace.name is the workspace's.",
    )
    OTHER_BASE_MODEL = (
        "OtherBaseModel",
        "A revision was made from another base model than the one that is served.",
        "Take it out of spec.traffic, or publish it to an InferenceWorkspace of its own"
        " (publish.workspace.name).",
    )
    RUNTIME_UNAVAILABLE = (
        "RuntimeUnavailable",
        "spec.runtime cannot run here.",
        "Set spec.runtime to Auto, or give the FineTuneClass the image that the message names.",
    )
    SWITCHED_OFF = "SwitchedOff", "spec.replicas is 0.", "Set spec.replicas to 1 or more."
    ROLLING_OUT = "RollingOut", "Pods with the wanted revisions are starting."
    SERVING = "Serving", "Every revision with traffic answers."
