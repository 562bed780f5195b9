"""The command groups of the journal: papers, posts, the site."""
