"""Consonance: how emotion in speech and in song sounds alike, or not, to audio encoders."""
