"""Features of networks, which others have trained: their files, their runtimes and what they give."""
