"""Simple arithmetic, exact: + - * / ^ % and brackets over decimal numbers."""

import ast
import re
from fractions import Fraction

_CHARS_MAX = 120
_DIGITS_MAX = 60  # of any number on the way; larger results are nobody's mental arithmetic
_EXPONENT_MAX = 200
_WORDS = (  # in this order; what is said between numbers, and its sign
    (r"\b(?:plus|und)\b", "+"),
    (r"\bminus\b", "-"),
    (r"\b(?:multiplied\s+by|times|mal)\b|[\u00d7·]|(?<=\d)\s+x\s+(?=\d)", "*"),
    (r"\b(?:divided\s+by|over|geteilt\s+durch|durch)\b|[÷:]", "/"),
    (r"\b(?:to\s+the\s+power\s+of|hoch)\b|\^", "**"),
    (r"(?:%|\b(?:percent|prozent)\b)\s*(?:of|von)\b", "/100*"),
    (r"[\u2212\u2013]", "-"),
)


def work_out(text: str, *, decimal_comma: bool = False) -> str | None:
    """The result of the sum in `text` as a person would write it, or None if it is not a sum.

    "≈" stands before a result that does not end after twelve decimal places. A division by zero says so.
    """
    expression = _expression(text, decimal_comma=decimal_comma)
    if expression is None:
        return None
    try:
        return _written(_value(ast.parse(expression, mode="eval").body, expression), decimal_comma=decimal_comma)
    except ZeroDivisionError:
        return "undefined: a division by zero"
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None


def _expression(text: str, *, decimal_comma: bool) -> str | None:
    """`text` in Python's notation, if it holds nothing but numbers and at least one operation."""
    if len(text) > _CHARS_MAX or re.fullmatch(r"\d+(-\d+)*", text.strip()):  # a date or a phone number is no sum
        return None
    if decimal_comma:
        text = re.sub(r"(?<=\d)\.(?=\d{3}\b)", "", text).replace(",", ".")
    else:
        text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)
    for words, sign in _WORDS:
        text = re.sub(words, sign, text, flags=re.IGNORECASE)
    text = text.strip(" =?")
    if not re.fullmatch(r"[\d\s.()+*/%-]+", text, re.ASCII) or not re.search(r"[\d)]\s*[+*/%-]+\s*[\d(.+-]", text):
        return None
    return text


def _value(node: ast.expr, source: str) -> Fraction:
    """Exact value of a parsed sum, numbers taken from `source` because floats would round them.

    Raises ValueError for anything but a sum, or when it grows too large.
    """
    match node:
        case ast.Constant(value=int() | float()):
            return _bounded(Fraction(source[node.col_offset : node.end_col_offset]))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, source)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _value(operand, source)
        case ast.BinOp(left=left, op=op, right=right):
            return _bounded(_combined(op, _value(left, source), _value(right, source)))
    raise ValueError("not a sum")


def _combined(op: ast.operator, left: Fraction, right: Fraction) -> Fraction:
    match op:
        case ast.Add():
            return left + right
        case ast.Sub():
            return left - right
        case ast.Mult():
            return left * right
        case ast.Div():
            return left / right
        case ast.Mod():
            return left % right
        case ast.Pow() if right.denominator == 1 and abs(right) <= _EXPONENT_MAX:
            return Fraction(left ** int(right))
    raise ValueError("not a sum")


def _bounded(value: Fraction) -> Fraction:
    if max(abs(value.numerator), value.denominator) >= 10**_DIGITS_MAX:
        raise ValueError("too large")
    return value


def _written(value: Fraction, *, decimal_comma: bool) -> str:
    if value.denominator == 1:
        return str(value.numerator)
    rounded = round(value, 12)
    sign, digits = ("-" if rounded < 0 else ""), str(abs(rounded.numerator) * 10**12 // rounded.denominator).rjust(13, "0")
    text = f"{sign}{digits[:-12]}.{digits[-12:]}".rstrip("0").rstrip(".")
    text = text.replace(".", ",") if decimal_comma else text
    return text if rounded == value else f"≈ {text}"
