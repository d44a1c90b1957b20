"""Which subgroups of a user's own images does each augmentation make a model learn? Needs the extra `augscope[images]`."""
