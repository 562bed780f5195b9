"""Phase 2 of the journal: sequence models."""
