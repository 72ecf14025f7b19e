"""The errors of handcraft: one sentence for a person, one type for a program."""

from __future__ import annotations


class HandcraftError(Exception):
    """Something that the caller can mend; the message says what, where and how."""


class PhotoError(HandcraftError):
    """A photo that cannot be read or searched with."""


class ExtractorError(HandcraftError):
    """An extractor that fails, or gives what it has not promised."""


class ModelError(HandcraftError):
    """A network's file, or what belongs to it, that is missing, damaged or of another kind."""


class VocabularyError(HandcraftError):
    """A vocabulary that cannot be trained, read or used."""


class StoreError(HandcraftError):
    """A store that is missing, damaged, of another format, or cannot be written."""


class StoreLockedError(StoreError):
    """Another process is writing to the store."""


class FeatureFileError(HandcraftError):
    """A file of features that other programs computed, and that cannot be read."""


class FingerprintError(HandcraftError):
    """Features, vocabulary and store were not made in the same way."""


class EvaluationError(HandcraftError):
    """Ground truth or a ranking that cannot be evaluated."""


class DependencyError(HandcraftError):
    """A library that is missing or cannot be loaded."""
