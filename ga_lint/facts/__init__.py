"""What is the code? Frozen facts about losses, windows and trainers; no judgement here.

`extract` asks for all facts of a file; the modules beside it answer one question each: `windows` and `raggedness` about
loops, `trainers`, `forwards`, `loss_functions` and `setups` about Hugging Face's Trainer, `lightning` about Lightning.
What a question needs to know of values it asks the `interpreter`, an abstract run of the user's code whose values are
those of `values`. `model` holds the facts themselves, which rules see.
"""
