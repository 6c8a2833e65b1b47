"""Arithmetic from text, exactly: `evaluate("1/3 + 2/3")` is 1."""

import re
from fractions import Fraction

TOKEN = re.compile(r"\s*(?:(\d+(?:\.\d+)?)|(.))")


def evaluate(text: str) -> Fraction:
    """The value of an expression with + - * / and parentheses.

    Raises:
        ValueError: the text is not an expression.
        ZeroDivisionError: it divides by zero.
    """
    parser = _Parser(text)
    value = parser.sum()
    if parser.token is not None:
        raise ValueError(f"unexpected {parser.token!r}")
    return value


class _Parser:
    """Recursive descent: a sum of products of signed factors."""

    def __init__(self, text: str) -> None:
        self._tokens = iter([number or sign for number, sign in TOKEN.findall(text.strip())])
        self._advance()

    def _advance(self) -> None:
        self.token = next(self._tokens, None)

    def _take(self, *wanted: str) -> str | None:
        token = self.token if self.token in wanted else None
        if token is not None:
            self._advance()
        return token

    def sum(self) -> Fraction:
        value = self._product()
        while sign := self._take("+", "-"):
            term = self._product()
            value = value + term if sign == "+" else value - term
        return value

    def _product(self) -> Fraction:
        value = self._factor()
        while sign := self._take("*", "/"):
            factor = self._factor()
            value = value * factor if sign == "*" else value / factor
        return value

    def _factor(self) -> Fraction:
        if self._take("-"):
            return -self._factor()
        if self._take("("):
            value = self.sum()
            if not self._take(")"):
                raise ValueError("a parenthesis is not closed")
            return value
        return self._number()

    def _number(self) -> Fraction:
        if self.token is None or not self.token[0].isdigit():
            raise ValueError(f"a number was expected, not {self.token!r}")
        value = Fraction(self.token)
        self._advance()
        return value
