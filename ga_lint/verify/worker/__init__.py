"""The process that runs slices of user code: the only part of ga-lint that imports torch."""
