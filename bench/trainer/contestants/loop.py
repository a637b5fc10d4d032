"""A loop written by hand with the same tricks, on the same rows: what our framework costs."""

import time
from collections.abc import Callable
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch.nn import LinearCrossEntropyOptions
from torch.nn.functional import cross_entropy, linear_cross_entropy
from transformers import AutoModelForCausalLM

from bench.trainer import task
from bench.trainer.measure import Measured, PeakMemory, wait_for
from bench.trainer.prepared import prepare
from finetune_trainer.base_model import open_base_model
from finetune_trainer.data.dataset import load_dataset
from finetune_trainer.data.plan import make_plan
from finetune_trainer.engine.attention import register_attention
from finetune_trainer.engine.rows import Row, make_row

IGNORED = -100
"""torch's number for a target that does not count."""
IN_PARTS = LinearCrossEntropyOptions(batch_chunk_size=256, chunking_method=None)
"""As many as this trainer takes at a time."""


def run(assignment: task.Assignment) -> Measured:
    return train("loop", assignment, loss_in_parts)


def train(
    name: str, assignment: task.Assignment, summed_loss: Callable[[Any, Row], torch.Tensor]
) -> Measured:
    """By hand.

    Args:
        summed_loss: of a model and a row.
    """
    recipe, workspace = prepare(assignment)
    device, bfloat16 = assignment.torch_device, assignment.dtype is torch.bfloat16
    base = open_base_model(assignment.model, assignment.row)
    examples = load_dataset(recipe, workspace, base.tokenizer()).train
    documents: list[Any] = list(examples.examples)
    plan = make_plan(examples.lengths, examples.weights, recipe.training)
    torch.manual_seed(task.SEED)
    model: Any = AutoModelForCausalLM.from_pretrained(
        assignment.model,
        dtype=assignment.dtype,
        attn_implementation=register_attention(),
        device_map={"": device},
    )
    config = LoraConfig(
        task_type="CAUSAL_LM", r=task.RANK, lora_alpha=task.ALPHA, target_modules="all-linear"
    )
    model = get_peft_model(model, config).train()
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=task.LEARNING_RATE, weight_decay=0.0, fused=True)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, plan.total_steps)
    memory, loss = PeakMemory(assignment.device), torch.tensor(0.0)
    with memory.watched():
        began = time.perf_counter()
        for index in range(plan.total_steps):
            step = plan.step(index, 0, 1)
            for members in step.rows:
                row = make_row([documents[member] for member in members]).to(device)
                with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
                    loss = summed_loss(model, row) / step.weight
                torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        wait_for(assignment.device)
        seconds = time.perf_counter() - began
    tokens = sum(examples.lengths)
    return Measured(
        contestant=name,
        conversations=len(examples.examples),
        seconds=seconds,
        peak_bytes=memory.bytes,
        tokens=tokens,
        computed=tokens,
        last_loss=float(loss.detach()),
    )


def loss_of_all(model: Any, row: Row) -> torch.Tensor:
    """Every position reaches the language-model head."""
    logits = model(**_inputs(row)).logits[0]
    targets = torch.full(logits.shape[:1], IGNORED, device=logits.device)
    targets[row.predictors] = row.targets
    return cross_entropy(logits.float(), targets, reduction="sum")


def loss_of_supervised(model: Any, row: Row) -> torch.Tensor:
    """Others are left out before the head."""
    logits = model(**_inputs(row), logits_to_keep=row.predictors).logits[0]
    return cross_entropy(logits.float(), row.targets, reduction="sum")


def loss_in_parts(model: Any, row: Row) -> torch.Tensor:
    """Nor are the logits of all of them there at a time."""
    causal = model.get_base_model()
    hidden = causal.model(**_inputs(row)).last_hidden_state[0, row.predictors]
    weight = causal.lm_head.weight
    return linear_cross_entropy(
        hidden.to(weight.dtype), weight, row.targets, reduction="sum", options=IN_PARTS
    )


def _inputs(row: Row) -> dict[str, Any]:
    return {
        "input_ids": row.input_ids,
        "position_ids": row.position_ids,
        "cu_seq_lens_q": row.boundaries,
        "cu_seq_lens_k": row.boundaries,
        "max_length_q": row.longest,
        "max_length_k": row.longest,
        "use_cache": False,
    }
