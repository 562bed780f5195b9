"""Phase 7 of the journal: GPT architecture."""
