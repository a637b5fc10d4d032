"""Prompt tuning: trained embeddings before every document; the model itself stays as it is."""

from typing import Any

import torch
from peft import PeftConfig, PeftModelForCausalLM, PromptTuningConfig, PromptTuningInit

from finetune_trainer.heads import HEADS
from finetune_trainer.methods.adapters import Adapter, in_fp32
from finetune_trainer.recipe import PromptTuning, Recipe


class PromptTuningMethod(Adapter):
    """The embeddings start as those of tokens drawn from the vocabulary, which learns better than
    from noise (Lester et al., 2021, figure 3b)."""

    def config(self, model: torch.nn.Module, recipe: Recipe) -> PeftConfig:
        return PromptTuningConfig(
            task_type=HEADS[recipe.task],
            num_virtual_tokens=_prompt_tuning(recipe).virtual_tokens,
            prompt_tuning_init=PromptTuningInit.SAMPLE_VOCAB,
        )

    def apply(self, model: torch.nn.Module, recipe: Recipe) -> torch.nn.Module:
        torch.manual_seed(recipe.training.seed)
        return in_fp32(_Prompted(model, self.config(model, recipe)))


class _Prompted(PeftModelForCausalLM):
    """PEFT puts the prompt before a row and drops positions; in a row of several documents each
    needs the prompt before itself."""

    def forward(self, *args: Any, cu_seq_lens_q: torch.Tensor | None = None, **given: Any) -> Any:
        if cu_seq_lens_q is None:
            return super().forward(*args, **given)  # type: ignore[no-untyped-call]
        prompt = self.get_prompt(1)[0]
        virtual = len(prompt)
        sizes = torch.diff(cu_seq_lens_q).tolist()
        base: Any = self.get_base_model()
        documents = torch.split(base.get_input_embeddings()(given["input_ids"][0]), sizes)
        prompted = [torch.cat([prompt.to(part.dtype), part]) for part in documents]
        starts = torch.arange(len(cu_seq_lens_q), device=cu_seq_lens_q.device)
        boundaries = (cu_seq_lens_q + starts * virtual).to(torch.int32)
        ids = [torch.arange(size + virtual, device=boundaries.device) for size in sizes]
        longest = given["max_length_q"] + virtual
        moved = {
            "position_ids": torch.cat(ids)[None],
            "cu_seq_lens_q": boundaries,
            "cu_seq_lens_k": boundaries,
            "max_length_q": longest,
            "max_length_k": longest,
        }
        if "logits_to_keep" in given:
            kept = given["logits_to_keep"]
            document = torch.bucketize(kept, cu_seq_lens_q[1:].to(kept.dtype), right=True)
            moved["logits_to_keep"] = kept + virtual * (document + 1)
        others = {name: value for name, value in given.items() if name != "input_ids"} | moved
        return base(inputs_embeds=torch.cat(prompted)[None], **others)


def _prompt_tuning(recipe: Recipe) -> PromptTuning:
    if recipe.method.prompt_tuning is None:
        raise TypeError("the recipe's method is not PromptTuning")
    return recipe.method.prompt_tuning
