"""Phase 9 of the journal: modern developments."""
