"""The calculator: arithmetic, read by Python's parser and reckoned by hand.  Nothing is evaluated."""

import ast
import math
import operator
from collections.abc import Callable
from typing import Any

CHARS_MAX = 500
_NODES_MAX = 200
_BITS_MAX = 4_096
"""Of a whole number on the way: about 1,200 digits."""
_OPERATORS: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_SIGNS: dict[type[ast.AST], Callable[[Any], Any]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "ceil": math.ceil,
    "cos": math.cos,
    "exp": math.exp,
    "floor": math.floor,
    "log": math.log,
    "log10": math.log10,
    "max": max,
    "min": min,
    "round": round,
    "sin": math.sin,
    "sqrt": math.sqrt,
    "tan": math.tan,
}
_CONSTANTS = {"pi": math.pi, "e": math.e, "tau": math.tau}


class CannotReckon(ValueError):
    """Why an expression has no value; the text is for whoever wrote it."""


def reckon(expression: str) -> str:
    """Return the value of an arithmetic expression; `^` is a power as `**` is.  Raises `CannotReckon`."""
    if len(expression) > CHARS_MAX:
        raise CannotReckon(f"the expression is longer than {CHARS_MAX} characters")
    try:
        tree = ast.parse(expression.replace("^", "**").strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise CannotReckon("that is no arithmetic expression") from None
    if sum(1 for _ in ast.walk(tree)) > _NODES_MAX:
        raise CannotReckon("the expression has too many parts")
    try:
        value = _value(tree.body)
    except ZeroDivisionError:
        raise CannotReckon("division by zero") from None
    except (OverflowError, TypeError, ValueError) as error:
        if isinstance(error, CannotReckon):
            raise
        raise CannotReckon(f"it has no value: {error}") from None
    if isinstance(value, float) and not math.isfinite(value):
        raise CannotReckon("the value is not finite")
    return str(int(value)) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else str(value)


def _value(node: ast.AST) -> Any:
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return _checked(value)
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _SIGNS:
            return _SIGNS[type(op)](_value(operand))
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _power(_value(left), _value(right))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _checked(_OPERATORS[type(op)](_value(left), _value(right)))
        case ast.Name(id=name) if name in _CONSTANTS:
            return _CONSTANTS[name]
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS:
            return _checked(_FUNCTIONS[name](*map(_value, args)))
    raise CannotReckon("only numbers, + - * / // % ** ( ), and functions such as sqrt and round are known")


def _power(base: Any, exponent: Any) -> Any:
    if isinstance(base, int) and isinstance(exponent, int) and exponent >= 0:
        if base.bit_length() * exponent > _BITS_MAX:
            raise CannotReckon("the power is too large")
        return base**exponent
    return _checked(float(base) ** float(exponent))


def _checked(value: Any) -> Any:
    if isinstance(value, complex):
        raise CannotReckon("the value is no real number")
    if isinstance(value, float) and not math.isfinite(value):
        raise CannotReckon("a number on the way is not finite")
    if isinstance(value, int) and value.bit_length() > _BITS_MAX:
        raise CannotReckon("a number on the way is too large")
    return value
