"""TRL's SFTTrainer on conversations; its settings are what the contestants of that name vary."""

from typing import Any

from datasets import Dataset
from peft import LoraConfig
from trl import SFTConfig, SFTTrainer

from bench.trainer import task
from bench.trainer.measure import Clock, Measured, PeakMemory


def run(assignment: task.Assignment, *, name: str, packed: bool, **settings: Any) -> Measured:
    conversations = assignment.conversations()
    longest = {"max_length": assignment.row if packed else assignment.max_length}
    clock, memory = Clock(assignment.device), PeakMemory(assignment.device)
    arguments = SFTConfig(
        # One packed row has the tokens of a batch of conversations.
        per_device_train_batch_size=1 if packed else task.BATCH,
        packing=packed,
        gradient_checkpointing=False,
        model_init_kwargs={"dtype": assignment.dtype},
        **assignment.trainer_settings,
        **(longest | settings),
    )
    trainer: Any = SFTTrainer(
        model=str(assignment.model),
        args=arguments,
        train_dataset=Dataset.from_list([{"messages": messages} for messages in conversations]),
        peft_config=LoraConfig(
            task_type="CAUSAL_LM",
            r=task.RANK,
            lora_alpha=task.ALPHA,
            lora_dropout=0.0,
            target_modules="all-linear",
        ),
        callbacks=[clock],
    )
    computed = _count(trainer)
    with memory.watched():
        trainer.train()
    return Measured(
        contestant=name,
        conversations=len(conversations),
        seconds=clock.seconds,
        peak_bytes=memory.bytes,
        tokens=sum(len(ids) for ids in trainer.train_dataset["input_ids"]),
        computed=computed[0],
        last_loss=clock.loss,
    )


def _count(trainer: Any) -> list[int]:
    """A list whose one number grows by the tokens of each batch."""
    collate, computed = trainer.data_collator, [0]

    def counting(features: Any) -> Any:
        batch = collate(features)
        computed[0] += batch["input_ids"].numel()
        return batch

    trainer.data_collator = counting
    return computed
