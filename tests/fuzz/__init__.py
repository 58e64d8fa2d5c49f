"""Inputs that nobody thought of, and what must hold for each: the long run is `python tests/fuzz/fuzz.py`."""
