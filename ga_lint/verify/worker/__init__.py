"""The process that runs slices of user code: the only part of ga-lint that imports torch.

`__main__` forks a child for each site, `examine` decides on its runs, and `subjects` names what can be run: a loop, a
trainer, a loss function, a model's forward. `reading` tells from the text what the code means, `harness` stands in for
data, models, libraries and ranks, and `sandbox` keeps all of it from doing anything else.
"""
