"""Arrays: broadcasting, subscripts, memory layouts, creation, shape built-ins."""
import numpy as np

from caselib import Layout, auto, case, corpus_file, error, f32, f64, ints

M = np.arange(12, dtype=np.float32).reshape(3, 4) / 7
V = np.arange(10, dtype=np.float64) / 3 - 1
T3 = np.arange(24, dtype=np.int32).reshape(2, 3, 4)


def broadcasting():
    corpus_file("broadcasting", "Broadcasting and memory layouts.")
    row, col = f32(1, 2, 3, 4), f32(10, 20, 30).reshape(3, 1)
    auto("row", "m + row", m=M, row=row)
    auto("column", "m - col", m=M, col=col)
    auto("outer", "col / row", col=col, row=row)
    auto("scalar_array", "m / s", m=M, s=np.float32(3))
    auto("rank3_rank1", "t + v", t=T3, v=ints("i32", 1, 2, 3, 4))
    auto("rank3_rank2_ones", "t - u", t=T3, u=ints("i32", 5, 6, 7).reshape(3, 1))
    auto("both_expand", "a + b", a=f64(1, 2).reshape(2, 1, 1), b=f64(1, 2, 3).reshape(1, 3, 1))
    auto("size_one_with_n", "a / b", a=f64(2), b=f64(1, 2, 3))
    auto("empty_with_one", "a + b", a=np.zeros((0,)), b=f64(1))
    auto("empty_rank2", "a + b", a=np.zeros((3, 0)), b=f64(1, 2, 3).reshape(3, 1))
    auto("rank8", "a + b", a=np.arange(6.0).reshape(1, 2, 1, 1, 3, 1, 1, 1), b=f64(1, 2))
    auto("three_way", "a - b - c", a=f64(1, 2, 3).reshape(3, 1), b=f64(1, 2), c=np.float64(0.5))
    auto("where_three_way", "where(c, a, b)", c=np.array([True, False]).reshape(2, 1), a=f64(1, 2, 3), b=np.float64(-1))
    error("mismatch", "a + b", "SHAPE", "[3, 4]", a=M, b=f32(1, 2, 3))
    error("mismatch_other_shape", "a + b", "SHAPE", "[3]", a=M, b=f32(1, 2, 3))
    error("mismatch_rank1", "a * b", "SHAPE", "[2]", a=f64(1, 2), b=f64(1, 2, 3))
    error("empty_mismatch", "a * b", "SHAPE", "[0]", a=np.zeros(0), b=f64(1, 2, 3))
    for kind in ("f", "reversed", "step2", "padded", "negrow"):
        auto(f"layout_{kind}_with_c", "m * 2.5 - n", m=Layout(M, kind), n=M[::-1].copy())
        auto(f"layout_{kind}_both", "m - n / 3", m=Layout(M, kind), n=Layout(M + 1, kind))
        auto(f"layout_{kind}_rank3", "t * 3 - u", t=Layout(T3, kind), u=T3[:, ::-1].copy())
    long = np.arange(203, dtype=np.float64) * 0.37 - 20
    for kind in ("reversed", "step2", "padded"):
        auto(f"layout_{kind}_long", "sqrt(abs(x)) - y", x=Layout(long, kind), y=long[::-1].copy())
        auto(f"layout_{kind}_long_f32", "x*y + 0.5", x=Layout(long.astype(np.float32), kind), y=long[::-1].astype(np.float32))
        auto(f"layout_{kind}_long_u8", "x + 7", x=Layout(np.arange(203).astype(np.uint8), kind))
    auto("layout_bcast", "x + y", x=Layout(np.full(100, 2.5), "bcast"), y=np.arange(100.0))
    auto("layout_bcast_rows", "x + y", x=Layout(np.broadcast_to(f32(1, 2, 3, 4), (3, 4)), "bcast0"), y=M)
    auto("layout_bcast_alone", "x * x", x=Layout(np.full((3, 5), 1.5), "bcast"))
    for n in (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 129):
        auto(f"length_{n}", "x*x - y", x=np.arange(n) / 7 - 3, y=np.arange(n) * 1.5)
        auto(f"length_{n}_i16", "x*x - y", x=np.arange(n).astype(np.int16) * 77, y=np.arange(n).astype(np.int16))
    auto("length_zero", "x*x - 1", x=np.zeros(0, np.float32))


def subscripts():
    corpus_file("subscripts", "Subscripts as in NumPy.")
    for i, s in enumerate(["2", "-1", "-10", "0", "2:5", "2:-2", "::2", "1::3", "::-1", "::-2", "-3:", ":-3", "8:2:-2", "8:2",
                           "-1:-6:-1", "100:", ":100", "-100:3", "3:3", "None", ":, None", "None, :", "...", "..., None", "0:1",
                           "-4:-1:2", "5::-1", ":5:-1"]):
        auto(f"rank1_{i}", f"v[{s}]", v=V)
    for i, s in enumerate(["1", "-1", "1, 2", "-1, -4", ":, 2", "1, :", "..., 0", "0, ...", "1:, :2", "::-1, ::2", "::2, ::-1",
                           ":, None, :", "None, 1, None", "..., None, 3", "None, ..., 1:3", "2:0:-1, 1", ":, ::-3", "1:1, :", "-2:, -2:"]):
        auto(f"rank2_{i}", f"m[{s}]", m=M)
    for i, s in enumerate(["1", "1, 2, 3", "..., 1", ":, 1", "0, ..., 2", "::-1, ::-1, ::-1", ":, :, 1:3", "1, :, ::2", "..., ::-1, 0", ":, None, ..., None"]):
        auto(f"rank3_{i}", f"t[{s}]", t=T3)
    auto("of_expression", "(v * 2 - 1)[2:5]", v=V)
    auto("of_subscript", "v[1:][1:][::2]", v=V)
    auto("of_reversed_twice", "v[::-1][::-1] - v", v=V)
    auto("difference", "v[1:] - v[:-1]", v=V)
    auto("second_difference", "(v[2:] - 2*v[1:-1] + v[:-2]) / 4", v=V)
    auto("blur_rows", "(m[:, :-1] + m[:, 1:]) / 2", m=M)
    auto("interleave_layout", "m[1:, ::-2] * 3", m=Layout(M, "f"))
    auto("strided_of_reversed_layout", "m[::2, 1:3] - 1", m=Layout(M, "reversed"))
    auto("transpose", "m.T", m=M)
    auto("transpose_arithmetic", "m.T + m[0, 0]", m=M)
    auto("transpose_rank3", "t.T", t=T3)
    auto("transpose_of_f_layout", "m.T - 1", m=Layout(M, "f"))
    auto("transpose_plus_square", "q.T + q", q=M[:, :3].copy())
    auto("transpose_subscript", "m.T[1:, ::-1]", m=M)
    auto("transpose_rank1", "v.T", v=V)
    auto("scalar_of_rank1", "v - v[3]", v=V)
    auto("outer_by_none", "v[:, None] * v[None, :]", v=V[:4].copy())
    auto("outer_difference_abs", "abs(v[:, None] - w)", v=V[:4].copy(), w=V[5:].copy())
    auto("negative_constant_expression", "v[1 - 3]", v=V)
    case("bound_by_len", "v[len(v) // 2:]", {"v": V}, V[5:])
    case("bound_by_shape", "m[:m.shape[0] - 1, 1]", {"m": M}, M[:2, 1])
    case("bound_by_scalar_input", "v[:k]", {"v": V, "k": np.int64(4)}, V[:4])
    case("computed_subscript", "v[argmax(v * -1)]", {"v": V}, V[0])
    case("computed_negative_top_level", "i = 0 - 2\nv[i]", {"v": V}, V[-2])
    case("shape_unpacked", "h, w = m.shape\nm / (h * w)", {"m": M}, M / np.float32(12))
    case("shape_names_in_signature", "param m: f32[h, w]\nm / w - h", {"m": M}, M / np.float32(4) - np.float32(3))
    case("same_size_names", "fn f(a: [n], b: [n]) = a - b / n\nf(v, w)", {"v": f64(1, 2), "w": f64(3, 5)}, f64(1, 2) - f64(3, 5) / 2)
    error("size_names_differ", "fn f(a: [n], b: [n]) = a - b\nf(v, w)", "SHAPE|TYPE", "", v=f64(1, 2), w=f64(1, 2, 3))
    error("out_of_range", "v[10]", "INDEX", "10", v=V)
    error("out_of_range_negative", "v[-11]", "INDEX", "11", v=V)
    error("out_of_range_axis1", "m[0, 4]", "INDEX", "4", m=M)
    error("out_of_range_runtime", "v[k]", "INDEX", "12", v=V, k=np.int64(12))
    error("too_many_subscripts", "v[0, 0]", "INDEX|SHAPE|TYPE", "", v=V)
    error("two_ellipses", "t[..., ...]", "INDEX|SHAPE|TYPE|SYNTAX", "", t=T3)
    error("step_zero", "v[::0]", "VALUE|INDEX|SHAPE|TYPE", "", v=V)
    error("float_subscript", "v[1.5]", "TYPE|INDEX", "", v=V)
    error("subscript_of_scalar", "s[0]", "TYPE|INDEX|SHAPE", "", s=np.float64(1))
    far = 9223372036854775807
    t = np.arange(10)
    case("steps_past_the_end", f"t = arange(10)\nreturn t[:{far}:{far}], t[::-{far}], t[3::3000000000], t[3:7:-{far}], t[8:2:-{far}]", {}, [t[:1], t[-1:], t[3:4], t[:0], t[8:9]])
    case("computed_steps_past_the_end", f"t = arange(10)\nk = sum([{far}])\nreturn t[::k], t[2:5:k], t[k:], t[:k], t[-k:], t[7::k - 1]", {}, [t[:1], t[2:3], t[:0], t, t, t[7:8]])
    case("computed_steps", "t = arange(10)\nk = sum([3])\nreturn t[::k], t[1::k], t[8::k], t[9::k], t[12::k], t[:-1:k]", {}, [t[::3], t[1::3], t[8::3], t[9:], t[:0], t[:-1:3]])
    error("rank_zero_len", "len(s)", "TYPE|SHAPE", "", s=np.float64(1))


def making():
    corpus_file("making", "Arrays that programs make, and shape built-ins.")
    case("zeros", "zeros(2, 3)", {}, np.zeros((2, 3)))
    case("zeros_f32", "zeros(4, dtype=f32)", {}, np.zeros(4, np.float32))
    case("zeros_empty", "zeros(0)", {}, np.zeros(0))
    case("ones_i32", "ones(2, 2, dtype=i32)", {}, np.ones((2, 2), np.int32))
    case("ones_bool", "ones(3, dtype=bool)", {}, np.ones(3, bool))
    case("ones_plus_input", "ones(3) / x", {"x": f64(1, 2, 4)}, f64(1, 0.5, 0.25))
    case("full", "full(x, 3)", {"x": np.float32(2.5)}, np.full(3, np.float32(2.5)))
    case("full_matrix_of_expression", "full(x * 2, 2, 2)", {"x": np.int32(7)}, np.full((2, 2), 14, np.int32))
    case("arange", "arange(5)", {}, np.arange(5))
    case("arange_zero", "arange(0)", {}, np.arange(0))
    case("arange_from_to_step", "arange(2, 11, 3)", {}, np.arange(2, 11, 3))
    case("arange_down", "arange(5, 0, -2)", {}, np.arange(5, 0, -2))
    case("arange_empty_range", "arange(5, 2, 1)", {}, np.arange(5, 2, 1))
    case("arange_len", "arange(len(x)) - x", {"x": f64(0.5, 0.5, 0.5)}, np.arange(3) - 0.5)
    case("arange_is_strong", "arange(3) * x", {"x": f32(1, 2, 3)}, np.arange(3) * f32(1, 2, 3))
    case("linspace", "linspace(0, 1, 5)", {}, np.linspace(0, 1, 5))
    case("linspace_reverse", "linspace(2, -2, 9)", {}, np.linspace(2, -2, 9))
    case("linspace_thirds", "linspace(0.1, 10, 100)", {}, np.linspace(0.1, 10, 100), "ulp 1")
    case("linspace_one", "linspace(3, 5, 1)", {}, np.linspace(3, 5, 1))
    case("linspace_ends_exactly", "linspace(0.1, 0.7, 7)[-1]", {}, np.float64(0.7))
    case("eye", "eye(3)", {}, np.eye(3))
    case("eye_times", "eye(2) * x", {"x": f64(3, 4)}, np.eye(2) * f64(3, 4))
    for i, (text, v) in enumerate([("reshape(m, 4, 3)", M), ("reshape(m, 12)", M), ("reshape(m, 2, 2, 3)", M), ("reshape(m, -1, 6)", M),
                                   ("reshape(m.T, 2, 6)", M), ("reshape(m[::-1], 12)", M), ("reshape(m[:, ::2], 6)", M),
                                   ("reshape(m * 2 - 1, 3, 2, 2)", M), ("reshape(m, 1, 12, 1)", M), ("reshape(m, 3, 4)", Layout(M, "f")),
                                   ("reshape(m, 6, 2)", Layout(M, "reversed")), ("transpose(m)", M), ("transpose(m, 1, 0)", M),
                                   ("flip(m)", M), ("flip(m, axis=0)", M), ("flip(m, axis=-1)", M), ("flip(m, axis=1) - m", M),
                                   ("squeeze(m[:1])", M), ("squeeze(m[:, :1])", M), ("squeeze(m[None], axis=0)", M), ("squeeze(m)", M),
                                   ("broadcast_to(m[0], 3, 4)", M), ("broadcast_to(m, 2, 3, 4)", M), ("broadcast_to(m[:, :1], 3, 4) - m", M),
                                   ("transpose(reshape(m, 2, 6))", M)]):
        auto(f"shape_{i}", text, m=v)
    for i, text in enumerate(["transpose(t, 2, 0, 1)", "transpose(t, 1, 0, 2) * 2", "reshape(t, 6, 4)", "reshape(transpose(t, 2, 1, 0), 8, 3)",
                              "flip(t, axis=1)", "reshape(t, 24)[::5]", "transpose(t, 0, 2, 1)[1]", "reshape(t[:, 1:], 4, -1)"]):
        auto(f"shape_rank3_{i}", text, t=T3)
    auto("flip_rank1", "flip(v) - v", v=V)
    auto("reshape_empty", "reshape(z, 0, 5)", z=np.zeros(0))
    auto("broadcast_scalar", "broadcast_to(s, 3)", s=np.float32(2))
    error("reshape_size", "reshape(m, 5, 3)", "SHAPE|VALUE", "", m=M)
    error("reshape_two_unknown", "reshape(m, -1, -1)", "SHAPE|VALUE|TYPE", "", m=M)
    error("transpose_repeated", "transpose(m, 0, 0)", "SHAPE|VALUE|TYPE|INDEX", "", m=M)
    error("transpose_count", "transpose(m, 0, 1, 2)", "SHAPE|VALUE|TYPE|INDEX", "", m=M)
    error("squeeze_not_one", "squeeze(m, axis=0)", "SHAPE|VALUE", "", m=M)
    error("broadcast_to_fails", "broadcast_to(m, 2, 4)", "SHAPE", "", m=M)
    error("zeros_negative", "zeros(k)", "VALUE|SHAPE|LIMIT", "-3", k=np.int64(-3))
    error("zeros_enormous", "zeros(1000000, 1000000, 1000000)", "LIMIT|MEMORY|SHAPE|VALUE", "")
    error("flip_axis", "flip(m, axis=2)", "SHAPE|VALUE|INDEX|TYPE", "", m=M)
    error("rank9", "zeros(1, 1, 1, 1, 1, 1, 1, 1, 1)", "LIMIT|SHAPE|TYPE|VALUE", "")
