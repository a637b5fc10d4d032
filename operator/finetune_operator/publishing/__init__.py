"""Where results go, a file each."""

from collections.abc import Mapping

from finetune_operator.api.output import PublishType
from finetune_operator.publishing.kaito import KAITOPublisher
from finetune_operator.publishing.publisher import Publisher
from finetune_operator.publishing.workspace import WorkspacePublisher

PUBLISHERS: Mapping[PublishType, Publisher] = {
    PublishType.WORKSPACE: WorkspacePublisher(),
    PublishType.KAITO: KAITOPublisher(),
}
"""Every way to publish but None."""
