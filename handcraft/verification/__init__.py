"""Stage 5, shortlist to verified hits: correspondences, spatial verification, and its pictures."""
