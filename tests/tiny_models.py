"""Randomly initialized miniatures of pretrained models, as their users find them: folders of safetensors and JSON."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PI0Config,
    PI0ForConditionalGeneration,
    PI0Processor,
)
from transformers import PreTrainedTokenizerFast as FastTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

SIZE, PATCH = 28, 14
"""Pixels of the frames that the miniatures see, and of a patch."""


def tokenizer(*, special=("<pad>", "<s>", "</s>")) -> FastTokenizer:
    """Return a byte-level BPE tokenizer whose last 256 tokens no prompt needs: they are private-use letters."""
    model = Tokenizer(models.BPE())
    model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.decoder = decoders.ByteLevel()
    sentences = ["In: What action should the robot take to move to the red square?\nOut:", "green squares"]
    rare = [chr(0x4E00 + number) for number in range(400)]
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    model.train_from_iterator([*sentences * 500, *rare], trainer)
    return FastTokenizer(tokenizer_object=model, pad_token="<pad>", bos_token="<s>", eos_token="</s>")


def write_llava(folder: Path, *, seed: int = 0, width: int = 32) -> Path:
    """Write a LLaVA (CLIP and Llama, as OpenVLA has SigLIP and Llama) of some 60,000 parameters."""
    text = tokenizer()
    text.add_special_tokens({"additional_special_tokens": ["<image>"]})
    images = CLIPImageProcessorPil(size={"height": SIZE, "width": SIZE}, crop_size={"height": SIZE, "width": SIZE})
    processor = LlavaProcessor(
        images, text, patch_size=PATCH, vision_feature_select_strategy="default", num_additional_image_tokens=1
    )
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=width, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
            image_size=SIZE, patch_size=PATCH, projection_dim=width,
        ),
        text_config=LlamaConfig(
            hidden_size=width, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
            num_key_value_heads=2, vocab_size=len(text), max_position_embeddings=512,
        ),
        image_token_index=text.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        LlavaForConditionalGeneration(config).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def write_pi0(folder: Path, *, seed: int = 0, chunk: int = 4) -> Path:
    """Write a pi0 (PaliGemma and a Gemma action expert) of some 100,000 parameters."""
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    images = SiglipImageProcessorPil(size={"height": SIZE, "width": SIZE})
    images.image_seq_length = (SIZE // PATCH) ** 2
    processor = PI0Processor(images, tokenizer(), chunk_size=chunk, max_state_dim=12)
    words = len(processor.tokenizer)
    gemma = {
        "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16,
        "intermediate_size": 48, "vocab_size": words,
    }  # fmt: skip
    config = PI0Config(
        vlm_config={
            "model_type": "paligemma", "projection_dim": 32, "hidden_size": 32,
            "image_token_id": processor.image_token_id,
            "text_config": {"model_type": "gemma", "hidden_size": 32, **gemma},
            "vision_config": {
                "model_type": "siglip_vision_model", "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
                "num_attention_heads": 2, "image_size": SIZE, "patch_size": PATCH, "vision_use_head": False,
            },
        },
        dit_config={"model_type": "gemma", "hidden_size": 24, **gemma},
        chunk_size=chunk, max_state_dim=12, max_action_dim=10, num_inference_steps=4,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        PI0ForConditionalGeneration(config).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
