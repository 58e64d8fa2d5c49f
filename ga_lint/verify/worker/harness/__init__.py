"""What takes the place of data, models, libraries and ranks while a slice of the user's code runs?"""
