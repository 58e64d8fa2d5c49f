"""How does a path become a list of outcomes? Discovery, one file after another, suppression, rewriting."""
