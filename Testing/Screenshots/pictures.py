"""Pictures out of arrays and widgets, with Qt's own painting. Needs a running QApplication, offscreen is enough."""

from __future__ import annotations

from pathlib import Path

import numpy
from PySide6.QtCore import QRect, Qt
from PySide6.QtGui import QColor, QFont, QImage, QPainter

TITLE_HEIGHT = 24
GAP = 4
DARK, LIGHT = QColor(32, 33, 36), QColor(235, 235, 235)


def image_of(colors: numpy.ndarray) -> QImage:
    """(rows, columns, 3) uint8 as a picture with memory of its own."""
    colors = numpy.ascontiguousarray(colors, dtype=numpy.uint8)
    rows, columns, _ = colors.shape
    return QImage(colors.data, columns, rows, 3 * columns, QImage.Format.Format_RGB888).copy()


def titled(colors: numpy.ndarray, title: str) -> QImage:
    """A view with a bar above it that holds its title, as Slicer's slice views have one."""
    view = image_of(colors)
    picture = QImage(view.width(), view.height() + TITLE_HEIGHT, QImage.Format.Format_RGB888)
    picture.fill(DARK)
    painter = QPainter(picture)
    font = QFont()
    font.setPixelSize(14)
    painter.setFont(font)
    painter.setPen(LIGHT)
    painter.drawText(QRect(8, 0, view.width() - 16, TITLE_HEIGHT), Qt.AlignmentFlag.AlignVCenter, title)
    painter.drawImage(0, TITLE_HEIGHT, view)
    painter.end()
    return picture


def beside(*pictures: QImage) -> QImage:
    """Pictures in one row, aligned at the top."""
    width = sum(picture.width() for picture in pictures) + GAP * (len(pictures) - 1)
    row = QImage(width, max(picture.height() for picture in pictures), QImage.Format.Format_RGB888)
    row.fill(DARK)
    painter, left = QPainter(row), 0
    for picture in pictures:
        painter.drawImage(left, 0, picture)
        left += picture.width() + GAP
    painter.end()
    return row


def below(*pictures: QImage) -> QImage:
    """Pictures in one column, aligned at the left."""
    height = sum(picture.height() for picture in pictures) + GAP * (len(pictures) - 1)
    column = QImage(max(picture.width() for picture in pictures), height, QImage.Format.Format_RGB888)
    column.fill(DARK)
    painter, top = QPainter(column), 0
    for picture in pictures:
        painter.drawImage(0, top, picture)
        top += picture.height() + GAP
    painter.end()
    return column


def save(picture: QImage, path: Path) -> None:
    """Write a PNG. Raises OSError where that fails."""
    if not picture.save(str(path), "PNG"):
        raise OSError(f"The picture {path} could not be written.")
