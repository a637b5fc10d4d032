"""transformers.Trainer and peft as their guides show: tokenize, pad each batch, train.

https://huggingface.co/docs/peft/quicktour and the causal language modelling guide of transformers.
"""

from typing import Any

from peft import LoraConfig, TaskType, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DataCollatorForLanguageModeling,
    Trainer,
    TrainingArguments,
)

from bench.trainer import task
from bench.trainer.measure import Clock, Measured, PeakMemory


def run(assignment: task.Assignment, *, name: str = "guide", **settings: Any) -> Measured:
    tokenizer: Any = AutoTokenizer.from_pretrained(assignment.model)
    model = AutoModelForCausalLM.from_pretrained(assignment.model, dtype=assignment.dtype)
    config = LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        r=task.RANK,
        lora_alpha=task.ALPHA,
        lora_dropout=0.0,
        target_modules="all-linear",
    )
    data: list[Any] = [
        tokenizer.apply_chat_template(
            messages, return_dict=True, truncation=True, max_length=assignment.max_length
        )
        for messages in assignment.conversations()
    ]
    collator = _Counting(tokenizer)
    clock, memory = Clock(assignment.device), PeakMemory(assignment.device)
    arguments = TrainingArguments(
        per_device_train_batch_size=task.BATCH, **assignment.trainer_settings, **settings
    )
    trainer = Trainer(
        model=get_peft_model(model, config),
        args=arguments,
        train_dataset=data,
        data_collator=collator,
        callbacks=[clock],
    )
    with memory.watched():
        trainer.train()
    return Measured(
        contestant=name,
        conversations=len(data),
        seconds=clock.seconds,
        peak_bytes=memory.bytes,
        tokens=sum(len(item["input_ids"]) for item in data),
        computed=collator.computed,
        last_loss=clock.loss,
    )


class _Counting(DataCollatorForLanguageModeling):
    """The guide's collator, counting the tokens it makes."""

    def __init__(self, tokenizer: Any) -> None:
        super().__init__(tokenizer=tokenizer, mlm=False)
        self.computed = 0

    def __call__(self, features: Any, return_tensors: str | None = None) -> Any:
        batch = super().__call__(features, return_tensors)
        self.computed += batch["input_ids"].numel()
        return batch
