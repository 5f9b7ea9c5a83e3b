"""Fine-tuning of pretrained vision-language-action models: transformers for the models, peft for low-rank adapters."""
