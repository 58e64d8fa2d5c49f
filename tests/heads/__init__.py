"""Which heads of transformers drop the count? Read from unpacked releases, put in a table, confirmed by training."""
