"""What is the code? Frozen facts about losses, windows and trainers; no judgement here."""
