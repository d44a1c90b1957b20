"""C-scores (Jiang et al. 2021) and the study of Oh & Yun (2024) on them: how hard are the points that a method gets wrong?

Needs the extra `augscope[images]`.
"""
