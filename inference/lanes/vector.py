"""Elementary functions of vectors of doubles, as straight lines of LLVM instructions without branches.

A value is `<WIDTH x double>` (numbers) or `<WIDTH x i1>` (masks). exp, log and log1p are within 2 units in the last
place (the reductions and the logarithm's polynomial are those of fdlibm, Sun Microsystems 1993); exp has no subnormal
results. lgamma and digamma are meant for positive arguments: recurrence up to 8, then Stirling's series.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from llvmlite import ir

DOUBLE, WORD = ir.DoubleType(), ir.IntType(64)
EXACT_LOG2_HIGH, LOG2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
LOG_SERIES = (
    6.666666666666735130e-01,
    3.999999999940941908e-01,
    2.857142874366239149e-01,
    2.222219843214978396e-01,
    1.818357216161805012e-01,
    1.531383769920937332e-01,
    1.479819860511658591e-01,
)
# B_2k / (2k (2k - 1)) and B_2k / 2k: Stirling's series of lgamma and digamma (Abramowitz & Stegun 1972, 6.1.41, 6.3.18)
LGAMMA_SERIES = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156, -3617 / 122400)
DIGAMMA_SERIES = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12, -3617 / 8160)
ROUNDING = 1.5 * 2.0**52  # added to a small number it leaves the nearest whole number in the low bits


class Vectors:
    """Writes vector instructions where `builder` stands."""

    def __init__(self, module: ir.Module, width: int) -> None:
        self.module, self.width = module, width
        self.builder = ir.IRBuilder()
        self.numbers = ir.VectorType(DOUBLE, width)
        self.words = ir.VectorType(WORD, width)
        self.masks = ir.VectorType(ir.IntType(1), width)

    def number(self, value: float) -> ir.Constant:
        return ir.Constant(self.numbers, [value] * self.width)

    def word(self, value: int) -> ir.Constant:
        return ir.Constant(self.words, [value] * self.width)

    def mask(self, value: bool) -> ir.Constant:
        return ir.Constant(self.masks, [value] * self.width)

    def spread(self, scalar: ir.Value, kind: ir.VectorType) -> ir.Value:
        """A scalar in every lane."""
        first = self.builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
        pattern = ir.Constant(ir.VectorType(ir.IntType(32), self.width), [0] * self.width)
        return self.builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), pattern)

    def call(self, name: str, *arguments: ir.Value) -> ir.Value:
        """LLVM's own intrinsic of that name on numbers."""
        name = f"llvm.{name}.v{self.width}f64"
        function = self.module.globals.get(name) or ir.Function(
            self.module, ir.FunctionType(self.numbers, [self.numbers] * len(arguments)), name
        )
        return self.builder.call(function, arguments)

    def add(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.builder.fadd(a, b, flags=("contract", "nsz"))

    def sub(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.builder.fsub(a, b, flags=("contract", "nsz"))

    def mul(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.builder.fmul(a, b, flags=("contract", "nsz"))

    def div(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.builder.fdiv(a, b)

    def fma(self, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
        return self.call("fma", a, b, c)

    def neg(self, a: ir.Value) -> ir.Value:
        return self.builder.fneg(a)

    def abs(self, a: ir.Value) -> ir.Value:
        return self.call("fabs", a)

    def sqrt(self, a: ir.Value) -> ir.Value:
        return self.call("sqrt", a)

    def floor(self, a: ir.Value) -> ir.Value:
        return self.call("floor", a)

    def reciprocal(self, a: ir.Value) -> ir.Value:
        return self.div(self.number(1.0), a)

    def compare(self, sign: str, a: ir.Value, b: ir.Value) -> ir.Value:
        """A mask; a comparison with not-a-number is false, `!=` is true."""
        compare = self.builder.fcmp_unordered if sign == "!=" else self.builder.fcmp_ordered
        return compare(sign, a, b)

    def select(self, mask: ir.Value, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.builder.select(mask, a, b)

    def is_nan(self, a: ir.Value) -> ir.Value:
        return self.builder.fcmp_unordered("uno", a, a)

    def largest(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """The larger one; not-a-number where one is."""
        return self.select(self.builder.or_(self.compare(">", a, b), self.is_nan(a)), a, b)

    def smallest(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.select(self.builder.or_(self.compare("<", a, b), self.is_nan(a)), a, b)

    def polynomial(self, x: ir.Value, coefficients: Sequence[float]) -> ir.Value:
        """The sum of coefficients[i] x^i, by Estrin's scheme: short chains of multiplications."""
        terms: list[ir.Value] = [self.number(c) for c in coefficients]
        while len(terms) > 1:
            pairs = [
                self.fma(terms[i + 1], x, terms[i]) if i + 1 < len(terms) else terms[i] for i in range(0, len(terms), 2)
            ]
            terms = pairs
            if len(terms) > 1:
                x = self.mul(x, x)
        return terms[0]

    def exp(self, x: ir.Value) -> ir.Value:
        """2^n exp(r) with |r| <= log(2) / 2, the series to order 13."""
        b = self.builder
        shifted = self.fma(x, self.number(1 / math.log(2)), self.number(ROUNDING))
        n = self.sub_exactly(shifted, self.number(ROUNDING))
        r = self.fma(n, self.number(-EXACT_LOG2_HIGH), x)
        r = self.fma(n, self.number(-LOG2_LOW), r)
        series = self.polynomial(r, [1 / math.factorial(i) for i in range(14)])
        # n lies in the low bits of `shifted`: added to the exponent's bits it multiplies by 2^n
        power = b.shl(b.bitcast(shifted, self.words), self.word(52))
        value = b.bitcast(b.add(b.bitcast(series, self.words), power), self.numbers)
        value = self.select(self.compare(">", x, self.number(709.782712893384)), self.number(math.inf), value)
        value = self.select(self.compare("<", x, self.number(-708.3964)), self.number(0.0), value)
        return self.select(self.is_nan(x), x, value)

    def sub_exactly(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """A difference whose rounding matters: never contracted."""
        return self.builder.fsub(a, b)

    def log(self, x: ir.Value) -> ir.Value:
        b = self.builder
        tiny = self.compare("<", x, self.number(2.0**-1022))
        value = self.log_of_normal(self.select(tiny, b.fmul(x, self.number(2.0**54)), x))
        value = self.select(tiny, b.fsub(value, self.number(54.0 * math.log(2))), value)
        value = self.select(self.compare("==", x, self.number(0.0)), self.number(-math.inf), value)
        value = self.select(self.compare("==", x, self.number(math.inf)), x, value)
        negative = b.or_(self.compare("<", x, self.number(0.0)), self.is_nan(x))
        return self.select(negative, self.number(math.nan), value)

    def log_of_normal(self, x: ir.Value) -> ir.Value:
        """log of numbers known to be positive, finite and not subnormal: k log(2) + log(1 + f)."""
        b = self.builder
        bits = b.bitcast(x, self.words)
        root = 0x3FE6A09E667F3BCD  # sqrt(1/2): the mantissa lies in [sqrt(1/2), sqrt(2))
        exponent = b.ashr(b.sub(bits, self.word(root)), self.word(52))
        mantissa = b.bitcast(b.sub(bits, b.shl(exponent, self.word(52))), self.numbers)
        # a small whole number as a double without a conversion, which AVX2 lacks
        magic = b.bitcast(b.add(exponent, b.bitcast(self.number(ROUNDING), self.words)), self.numbers)
        k = b.fsub(magic, self.number(ROUNDING))
        f = b.fsub(mantissa, self.number(1.0))
        s = self.div(f, b.fadd(f, self.number(2.0)))
        z = b.fmul(s, s)
        series = b.fmul(z, self.polynomial(z, LOG_SERIES))
        square = b.fmul(b.fmul(f, f), self.number(0.5))
        inner = self.fma(s, b.fadd(square, series), b.fmul(k, self.number(LOG2_LOW)))
        return b.fsub(b.fmul(k, self.number(EXACT_LOG2_HIGH)), b.fsub(b.fsub(square, inner), f))

    def log1p(self, x: ir.Value) -> ir.Value:
        """log(u) + (x - (u - 1)) / u with u = 1 + x rounded."""
        b = self.builder
        u = b.fadd(x, self.number(1.0))
        lost = b.fsub(x, b.fsub(u, self.number(1.0)))
        value = b.fadd(self.log(u), b.fmul(lost, self.reciprocal(u)))
        special = b.or_(self.compare("==", u, self.number(0.0)), self.compare("==", u, self.number(math.inf)))
        return self.select(special, self.log(u), value)

    def log1p_of_positive(self, x: ir.Value) -> ir.Value:
        """The same for x >= 0, as it comes from exp; not-a-number stays what it is."""
        b = self.builder
        u = b.fadd(x, self.number(1.0))
        lost = b.fsub(x, b.fsub(u, self.number(1.0)))
        value = b.fadd(self.log_of_normal(u), b.fmul(lost, self.reciprocal(u)))
        return self.select(self.compare("==", u, self.number(math.inf)), u, value)

    def expm1(self, x: ir.Value) -> ir.Value:
        near = self.mul(x, self.polynomial(x, [1 / math.factorial(i) for i in range(1, 15)]))
        far = self.sub_exactly(self.exp(x), self.number(1.0))
        return self.select(self.compare("<", self.abs(x), self.number(0.4)), near, far)

    def sigmoid(self, x: ir.Value) -> ir.Value:
        """1 / (1 + exp(-x)), by exp(-|x|), which softplus and log-sigmoid need as well."""
        e = self.exp(self.neg(self.abs(x)))
        inverse = self.reciprocal(self.builder.fadd(e, self.number(1.0)))
        positive = self.compare(">=", x, self.number(0.0))
        value = self.builder.fmul(self.select(positive, self.number(1.0), e), inverse)
        return self.select(self.is_nan(x), x, value)

    def tanh(self, x: ir.Value) -> ir.Value:
        size = self.abs(x)
        grown = self.expm1(self.mul(size, self.number(2.0)))
        value = self.sub(self.number(1.0), self.div(self.number(2.0), self.add(grown, self.number(2.0))))
        small = self.div(grown, self.add(grown, self.number(2.0)))
        value = self.select(self.compare("<", size, self.number(0.5)), small, value)
        return self.call("copysign", value, x)

    def lgamma(self, x: ir.Value) -> ir.Value:
        product, y = self.lifted(x, lambda total, step: self.mul(total, step), 1.0)
        inverse = self.reciprocal(y)
        series = self.mul(inverse, self.polynomial(self.mul(inverse, inverse), LGAMMA_SERIES))
        half_log = self.number(0.5 * math.log(2 * math.pi))
        stirling = self.add(self.sub(self.mul(self.sub(y, self.number(0.5)), self.log(y)), y), half_log)
        value = self.sub(self.add(stirling, series), self.log(product))
        return self.select(self.compare("==", x, self.number(math.inf)), x, value)

    def digamma(self, x: ir.Value) -> ir.Value:
        passed, y = self.lifted(x, lambda total, step: self.add(total, self.reciprocal(step)), 0.0)
        inverse = self.reciprocal(y)
        square = self.mul(inverse, inverse)
        series = self.mul(square, self.polynomial(square, DIGAMMA_SERIES))
        return self.sub(self.sub(self.sub(self.log(y), self.mul(inverse, self.number(0.5))), series), passed)

    def lifted(
        self, x: ir.Value, fold: Callable[[ir.Value, ir.Value], ir.Value], start: float
    ) -> tuple[ir.Value, ir.Value]:
        """`x + 8` where x is below 8, x elsewhere, and what the fold makes of the steps x, x + 1, ... x + 7."""
        total: ir.Value = self.number(start)
        for i in range(8):
            total = fold(total, self.add(x, self.number(float(i))))
        low = self.compare("<", x, self.number(8.0))
        return self.select(low, total, self.number(start)), self.select(low, self.add(x, self.number(8.0)), x)
