"""The sections of the SSLMAR panel, one file each; SSLMAR.py puts them together."""
