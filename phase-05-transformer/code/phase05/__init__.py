"""Phase 5 of the journal: transformer."""
