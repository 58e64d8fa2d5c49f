"""What does the text of the user's code say? Files and trees: nothing here is executed."""
