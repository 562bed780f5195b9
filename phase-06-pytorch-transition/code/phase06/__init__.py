"""Phase 6 of the journal: transition to PyTorch."""
