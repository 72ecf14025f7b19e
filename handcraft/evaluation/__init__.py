"""Stage 6: rankings and ground truth become mean average precision."""
