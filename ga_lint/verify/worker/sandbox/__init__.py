"""What may sliced code do? The layers that hold a process of the check, from the kernel's to Python's own."""
