"""ga-lint finds, rewrites and proves losses that gradient accumulation gets wrong."""

__version__ = "0.1.0"
