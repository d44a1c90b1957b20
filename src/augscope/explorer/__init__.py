"""The explorer in the browser: settings by slider, predictions, and a training that can be watched and stopped.

Everything but `app` can be used, and is tested, without a browser. Needs the extra `augscope[explorer]`.
"""
