"""Checkpoints of other software, brought over as ordinary runs."""
