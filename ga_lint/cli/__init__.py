"""What did the user type, and what do they see? One module for each command."""
