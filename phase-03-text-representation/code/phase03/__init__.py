"""Phase 3 of the journal: text representation."""
