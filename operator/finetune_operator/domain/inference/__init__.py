"""How an InferenceWorkspace and its InferenceRevisions become a server that answers."""
