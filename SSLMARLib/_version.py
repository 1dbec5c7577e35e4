"""The version, in one place: packaging, `sslmar info` and every report read it here."""

__version__ = "0.1.0"
