"""Does the law hold for the Trainer of real releases? Slow: it installs each one beside the environment's torch."""
