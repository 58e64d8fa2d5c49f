"""How does an editor see all this? A language server; what it needs besides is the extra `lsp`."""
