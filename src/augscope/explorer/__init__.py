"""The explorer in the browser: settings, predictions, a training that can be watched and stopped, a sweep's diagrams.

Everything but `app` can be used, and is tested, without a browser; `app` only lays out what the others say. Needs the extra
`augscope[explorer]`.
"""
