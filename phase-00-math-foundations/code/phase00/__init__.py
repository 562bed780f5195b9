"""Phase 0 of the journal: math foundations."""
