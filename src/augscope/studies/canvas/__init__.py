"""The paper's data model with real images as features: digits of very different frequency on noisy canvases.

Needs the extra `augscope[canvas]`; `settings` alone loads neither JAX nor scikit-learn.
"""
