"""Keypoint networks with published weights; besides their exporting, the only import of PyTorch."""
