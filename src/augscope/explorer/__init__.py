"""The explorer in the browser: the limit at once, a training that can be watched and stopped, and a map of what is learned.

Everything can be used, and is tested, without a browser; serving it needs the extra `augscope[explorer]`.
"""
