"""Bad programs, and what is not in this version: each a clear error."""
import numpy as np

from caselib import corpus_file, error, f64, ints

X, M = f64(1, 2, 3, 4), np.ones((3, 4))
I = ints("i64", 2, 0, 1)


def bad():
    corpus_file("bad", "Bad programs.")
    for i, s in enumerate(["x +", "(x", "x)", "x[", "x[1", "* x", "x ** ", "x $ y", "1 2", "x = ", "= x", "fn", "fn f(", "fn f(x)", "fn f(x) =",
                           "ufunc f(x) {", "}", "if x", "for i in", "for i in 3 { }", "while", "x.", "x..y", "1.2.3", "0x", "'x'", "\"abc", "x y",
                           "f(x,,y)", "[1, 2", "return", "x += ", "a, = 1, 2", "param", "param x:", "if true { 1", "else { 1 }", "x ? y : z", "a && b",
                           "1e", "x = y = 2", "(x = 1)", "fn 3(x) = x", "not", "x if y", "@", "x[1:2:3:4]", "a:b", "x++", "!x"]):
        error(f"syntax_{i}", s, "SYNTAX|TYPE" if s in ("return", "a, = 1, 2") else "SYNTAX")
    for i, (s, hint) in enumerate([("sqr(x)", "sqrt"), ("sine(x)", "sin"), ("cosn(x)", "cos"), ("nanmeen(x)", "nanmean"), ("Exp(x)", "exp"), ("logp1(x)", "log1p"),
                                   ("nan_mean(x)", "nanmean"), ("linspce(0, 1, 5)", "linspace"), ("whre(x > 0, x, x)", "where")]):
        error(f"unknown_function_{i}", s, "NAME", hint, x=X)
    error("unknown_name_suggestion", "param flux: f64[n]\nflx - 1", "NAME", "flux", flux=X)
    error("unknown_name_in_function", "fn f(value) = valu - 1\nparam x: f64[n]\nf(x)", "NAME", "value", x=X)
    error("unknown_attribute", "x.size_of", "NAME|SYNTAX|TYPE", "", x=X)
    error("too_large_for_f32", "f32(1)*1e300", "TYPE|VALUE", "1e+300 does not fit in f32")
    u = {"u": ints("u8", 1, 200)}
    error("float_array_into_integer_parameter", "fn g(v: i32[n]) = v\ng([1, 3.5])", "TYPE", "i32[n]")
    error("float_array_into_integer_result", "fn g(v) -> i32[n] { return [v, 3.5] }\ng(1)", "TYPE", "i32[n]")
    error("float_array_into_integer_whole", "ufunc g(i, v: i32[n]) = v[i]\ng(0, [1, 3.5])", "TYPE", "i32")
    error("float_array_into_integer_variable", "s = u\ns = [1.5, 2]\ns", "TYPE", "u8", **u)
    error("literal_does_not_fit_parameter", "fn g(v: u8[n]) = v\ng([1, 300])", "TYPE|VALUE", "300", **u)
    error("literal_does_not_fit_whole", "ufunc g(i, v: u8[n]) = v[i]\ng(0, [1, 300])", "TYPE|VALUE", "300")
    error("literal_does_not_fit_variable", "s = u\ns = [1, 300]\ns", "TYPE|VALUE", "300", **u)
    error("literal_does_not_fit_join", "s = [1, 300]\ns = u\ns", "TYPE|VALUE", "300", **u)
    error("literal_does_not_fit_min", "min(u, [1, 300])", "TYPE|VALUE", "300", **u)
    error("literal_does_not_fit_result", "fn g(v) -> u8[n] { return [1, 300] }\ng(1)", "TYPE|VALUE", "300")
    error("integer_into_bool_parameter", "fn g(v: bool) = v\ng(1)", "TYPE", "bool")
    error("integers_into_bool_parameter", "fn g(v: bool[n]) = v\ng([1, 0])", "TYPE", "bool[n]")
    error("integer_into_bool_variable", "b = true\nb = 1\nb", "TYPE", "bool")
    error("wider_into_variable", "s = f32(1)\ns = f64(2)\ns", "TYPE", "f32")
    error("recursion", "fn g(v) = g(v)\ng(1)", "TYPE", "`g` calls itself")
    error("dot_of_a_scalar", "dot(x, 2)", "SHAPE", "`2` is a scalar", x=X)
    error("duplicate_param", "param a: f64\nparam a: f64\na", "NAME|SYNTAX", "a", a=np.float64(1))
    error("duplicate_parameter", "fn f(a, a) = a\nf(x, x)", "NAME|SYNTAX", "a", x=X)
    error("unknown_type", "param a: f63[n]\na", "NAME|TYPE|SYNTAX", "f63", a=X)
    error("function_as_value", "y = sin\ny", "NAME|TYPE|SYNTAX", "sin")
    error("calling_a_value", "y = x\ny(3)", "NAME|TYPE", "y", x=X)
    error("empty_source", "", "SYNTAX|VALUE|TYPE|ARGUMENT")
    error("only_a_comment", "# nothing", "SYNTAX|VALUE|TYPE|ARGUMENT")
    error("too_few_arguments", "atan2(x)", "TYPE", "", x=X)
    error("too_many_arguments", "sin(x, x)", "TYPE", "", x=X)
    error("no_arguments", "sqrt()", "TYPE")
    error("where_two_arguments", "where(x > 0, x)", "TYPE", "", x=X)
    error("float_bit_and", "x & 1", "TYPE", "", x=X)
    error("float_shift", "x << 2", "TYPE", "", x=X)
    error("float_invert", "~x", "TYPE", "", x=X)
    error("i64_u64_bit_or", "i | u", "TYPE", "", i=ints("i64", 1), u=ints("u64", 1))
    error("popcount_of_float", "popcount(x)", "TYPE", "", x=X)
    error("if_of_array", "r = 0\nif x > 0 { r = 1 }\nr", "TYPE|SHAPE", "", x=X)
    error("while_of_array", "while x > 0 { x = x - 1 }\nx", "TYPE|SHAPE", "", x=X)
    error("for_over_float", "s = 0\nfor i in 0:2.5 { s += 1 }\ns", "TYPE")
    error("string_value", "\"abc\"", "TYPE|SYNTAX")
    error("range_outside_brackets", "y = 1:5\ny", "SYNTAX")
    error("assign_to_literal", "3 = x", "SYNTAX|TYPE", "", x=X)
    error("assign_to_call", "sin(x) = 3", "SYNTAX|TYPE|UNSUPPORTED", "", x=X)
    error("unpack_count", "a, b = 1, 2, 3\na", "TYPE|SYNTAX|VALUE")
    error("unpack_array", "a, b = x\na", "TYPE|SYNTAX|VALUE", "", x=X)
    error("shape_unpack_count", "h, w = x.shape\nh", "TYPE|SHAPE|VALUE|SYNTAX", "", x=X)
    error("keyword_twice", "sum(x, axis=0, axis=0)", "SYNTAX|TYPE|NAME", "", x=X)
    error("keyword_to_elementwise", "sin(x, axis=0)", "TYPE|NAME|SYNTAX", "", x=X)
    error("dtype_unknown", "zeros(3, dtype=f63)", "NAME|TYPE", "f63")
    error("statement_in_parentheses", "(return x)", "SYNTAX", "", x=X)
    error("nested_function", "fn f(x) {\n    fn g(y) = y\n    return g(x)\n}\nf(x)", "SYNTAX|UNSUPPORTED|NAME|TYPE", "", x=X)
    error("effect_in_ufunc", "ufunc f(a) {\n    print(a)\n    return a\n}\nf(x)", "TYPE|UNSUPPORTED|NAME", "", x=X)
    error("deep_parentheses", "(" * 10000 + "x" + ")" * 10000, "LIMIT|SYNTAX", "", x=X)
    error("deep_minus", "-" * 20000 + "x", "LIMIT|SYNTAX", "", x=X)


def not_here():
    corpus_file("unsupported", "What the language has and this version has not.")
    for name, s in {
            "index_notation": "C[i] := x[i] - 1\nC", "index_reduction": "sum[k](x[k])", "index_matmul": "C[i, j] := sum[k](m[i, k] * m[j, k])\nC",
            "at": "at(x, 9, 0.0)", "store": "x[0] = 1.0\nx", "store_augmented": "x[1:] += 1\nx", "store_slice": "x[1:3] = 0.0\nx",
            "gather": "x[idx]", "mask": "x[x > 2]", "gather_axis": "m[idx, 0]", "grouped": "sum(x, by=idx, groups=3)",
            "reduce": "ufunc add(a, b) = a + b\nreduce(add, 0.0, x)", "scan": "ufunc add(a, b) = a + b\nscan(add, 0.0, x)",
            "cumsum": "cumsum(x)", "cumprod": "cumprod(x)", "cummax": "cummax(x)", "cummin": "cummin(x)", "sort": "sort(x)", "argsort": "argsort(x)",
            "topk": "topk(x, 2)", "unique": "unique(x)", "median": "median(x)", "nanmedian": "nanmedian(x)", "quantile": "quantile(x, 0.5)",
            "searchsorted": "searchsorted(x, 2.5)", "interp": "interp(2.5, x, x)", "histogram": "histogram(x, 4, 0.0, 1.0)", "bincount": "bincount(idx)",
            "windows": "windows(x, 2)", "matmul_operator": "m @ x", "matmul": "matmul(m, x)", "random": "random(1, 5)", "normal": "normal(1, 5)",
            "randint": "randint(1, 0, 5, 3)", "permutation": "permutation(1, 5)", "concat": "concat(x, x)", "concatenate": "concatenate(x, x)", "stack": "stack(x, x)",
            "roll": "roll(x, 1)", "pad": "pad(x, 1)", "tile": "tile(x, 2)", "repeat": "repeat(x, 2)", "diff": "diff(x)", "f16": "f16(x)",
            "f16_param": "param h: f16[n]\nh"}.items():
        names = {}
        if "x" in s.replace("idx", "").replace("max", "").replace("axis", ""):
            names["x"] = X
        if "m[" in s and "sum[" not in s.replace("m[", "", 1) or s.startswith("m ") or "(m" in s or name == "index_matmul":
            names["m"] = M
        if "idx" in s:
            names["idx"] = I
        error(name, s, "UNSUPPORTED", "", **names)
