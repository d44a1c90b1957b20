"""How libraries and people's own code take batches (`forms`) and give them back (`returns`)."""
