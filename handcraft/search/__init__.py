"""Stage 4, words → ranked shortlist."""
