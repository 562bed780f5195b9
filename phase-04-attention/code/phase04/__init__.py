"""Phase 4 of the journal: attention."""
