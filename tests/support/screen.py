"""What a terminal shows of what it was sent: a small emulator, of what our program sends."""

import re

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]")
_PIECES = re.compile(rf"({CONTROL.pattern}|\r|\n)")


def screen(sent, columns=None):
    """The lines, without colours. A line that is longer than `columns` goes on in the next row."""
    lines, row, column = [""], 0, 0
    for piece in _PIECES.split(sent):
        if piece == "\r":
            column = 0
        elif piece == "\n":
            row += 1
            column = 0
        elif match := re.fullmatch(r"\x1b\[(\d*)A", piece):
            row = max(0, row - int(match[1] or 1))
        elif piece == "\x1b[2K":
            lines[row] = ""
        elif not CONTROL.fullmatch(piece):
            for character in piece:
                if column == columns:
                    row, column = row + 1, 0
                lines += [""] * (row + 1 - len(lines))
                line = lines[row].ljust(column)
                lines[row] = line[:column] + character + line[column + 1 :]
                column += 1
        lines += [""] * (row + 1 - len(lines))
    return [line.rstrip() for line in lines]
