"""The tool around the journal: roadmap, data, results, pictures. It knows no phase."""
