"""What a batch has done, line by line, on the disk as soon as it is done: JSON, one record a line."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

from ..errors import InputError

logger = logging.getLogger(__name__)

JOURNAL_NAME = "journal.jsonl"


class Journal:
    """The journal of an output folder. Only the process that holds the folder's lock writes it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / JOURNAL_NAME
        self.settings: dict | None = None
        self.records: dict[str, dict] = {}
        self._is_torn = self._warned = False
        self._read()

    def _read(self) -> None:
        """A line that a kill cut in two counts as not written."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            raise InputError(f"The journal {self.path} cannot be read ({error.strerror}): check the disk.") from None
        self._is_torn = not content.endswith(b"\n") and bool(content)
        for line in content.split(b"\n"):
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and "settings" in entry:
                self.settings = entry["settings"]
            elif isinstance(entry, dict) and "case" in entry:
                self.records[entry["case"]] = entry

    def begin(self, settings: dict) -> None:
        """Write what the batch is done with, or check that an earlier run was of the same kind. Raises InputError."""
        settings = json.loads(json.dumps(settings))
        if self.settings is None:
            try:
                self._append({"settings": settings})
            except OSError as error:
                raise InputError(f"The journal {self.path} cannot be written ({error.strerror}): check the disk.") from None
            self.settings = settings
        different = [name for name in settings if self.settings.get(name) != settings[name]]
        if different:
            was = ", ".join(f"{name} {self.settings.get(name)} instead of {settings[name]}" for name in different)
            raise InputError(f"The batch in {self.path.parent} was begun with {was}: give the same options, or another OUTPUT.")

    def add(self, record: dict) -> None:
        """Note what became of a case. Where the disk is full, the batch goes on without: the results tell themselves what they are."""
        self.records[record["case"]] = record
        try:
            self._append(record)
        except OSError as error:
            self._is_torn = True
            if not self._warned:
                logger.warning("The journal %s could not be written (%s): check the disk.", self.path, error.strerror)
            self._warned = True

    def _append(self, entry: dict) -> None:
        line = json.dumps(entry).encode() + b"\n"
        with open(self.path, "ab", buffering=0) as file:
            file.write(b"\n" + line if self._is_torn else line)
            os.fsync(file.fileno())
        self._is_torn = False
