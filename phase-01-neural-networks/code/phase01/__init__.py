"""Phase 1 of the journal: neural networks."""
