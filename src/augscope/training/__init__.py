"""From a problem to a history: descent, flow, many seeds, measures, checkpoints."""
