"""How is ga-lint tested? Expectations written in fixtures, pages that are run, and a numeric oracle of its own."""
