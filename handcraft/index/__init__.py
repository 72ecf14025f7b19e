"""Stage 3, words → segments: postings, compact geometry and the statistics of the live collection."""
