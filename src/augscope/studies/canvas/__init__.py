"""The paper's data model with real images as features: digits of very different frequency on noisy canvases.

Needs the extra `augscope[images]`; `settings` alone loads neither PyTorch nor scikit-learn.
"""
