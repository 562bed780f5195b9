"""Phase 10 of the journal: blog writing."""
