"""How is the file built? Everything that is read from a file's tree, by the standard library's `ast`."""
