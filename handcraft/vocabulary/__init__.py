"""Stage 2, descriptors → visual words: training a vocabulary tree and descending it."""
