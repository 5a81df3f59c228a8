"""Writes control.txt: random programs of nested control flow over integers, with what the same programs give in Python.

Each case is a line `case RESULT` and the source's lines after `| `. The inputs i, k and t are those of array_run.h.
Usage: python3 make_control.py > control.txt
"""
import random

VARIABLES = list("abcd")
VALUES = {"i": 5, "k": 2, "t": [3, -4, 7, 12]}
CASES = 60


class Program:
    """A statement is made twice: a list of lines of Weft, and one of Python."""

    def __init__(self, rng, returns):
        self.rng, self.returns = rng, returns
        self.visible, self.n_loops, self.budget = VARIABLES[:], 0, 20

    def expression(self, depth=0):
        rng = self.rng
        kind = rng.randrange(7 if depth < 2 else 2)
        if kind == 0:
            return str(rng.randrange(-5, 20)) if rng.random() < .7 else f"t[{rng.randrange(4)}]"
        if kind == 1:
            return rng.choice(self.visible)
        if kind in (2, 3):
            return f"({self.expression(depth + 1)} {rng.choice('+-*')} {self.expression(depth + 1)}) % 1009"
        if kind == 4:
            return f"({self.expression(depth + 1)}) // {rng.randrange(1, 7)}"
        if kind == 5:
            return f"({self.expression(depth + 1)} if {self.condition()} else {self.expression(depth + 1)})"
        return f"t[({self.expression(depth + 1)}) % 4]"

    def condition(self):
        rng = self.rng
        text = f"{rng.choice(self.visible)} {rng.choice(['<', '>', '==', '!=', '<=', '>='])} {self.expression(1)}"
        if rng.random() < .2:
            word, name = rng.choice(["and", "or"]), rng.choice(self.visible)
            text = f"({text} {word} {name} % {rng.randrange(2, 5)} == t[{rng.randrange(4)}] % 2)"
        return text

    def block(self, indent, in_loop, depth):
        weft, python = [], []
        for _ in range(self.rng.randrange(1, 4)):
            w, p = self.statement(indent, in_loop, depth)
            weft, python = weft + w, python + p
            if p[-1].split()[0] in ("break", "continue", "return"):
                break
        return weft, python

    def statement(self, indent, in_loop, depth):
        rng, pad = self.rng, "    " * indent
        kind = rng.randrange(10)
        self.budget -= 1
        if self.budget < 0 or depth > 3:
            kind = 0
        if kind <= 2:
            line = f"{pad}{rng.choice(VARIABLES)} = {self.expression()}"
        elif kind == 3:
            line = f"{pad}{rng.choice(VARIABLES)} += {self.expression()}"
        elif kind == 4:
            x, y = rng.sample(VARIABLES, 2)
            line = f"{pad}{x}, {y} = {y}, ({x} + 1) % 509"
        elif kind in (5, 6):
            return self.branches(indent, in_loop, depth)
        elif kind == 7:
            return self.counted(indent, depth)
        elif kind == 8:
            return self.conditional_loop(indent, depth)
        elif in_loop and rng.random() < .7:
            line = pad + rng.choice(["break", "continue"])
        elif self.returns:
            line = f"{pad}return ({self.expression()}) % 7919"
        else:
            return self.statement(indent, in_loop, depth)
        return [line], [line]

    def branches(self, indent, in_loop, depth):
        rng, pad = self.rng, "    " * indent
        weft, python = [], []
        for n in range(1 + rng.randrange(3)):
            word, condition = "elif" if n else "if", self.condition()
            w, p = self.block(indent + 1, in_loop, depth + 1)
            weft += [f"{pad}{'} ' if n else ''}{word} {condition} {{"] + w
            python += [f"{pad}{word} {condition}:"] + p
        if rng.random() < .5:
            w, p = self.block(indent + 1, in_loop, depth + 1)
            weft, python = weft + [pad + "} else {"] + w, python + [pad + "else:"] + p
        return weft + [pad + "}"], python

    def body(self, name, indent, depth):
        self.visible.append(name)
        made = self.block(indent + 1, True, depth + 1)
        self.visible.remove(name)
        return made

    def counted(self, indent, depth):
        pad, rng = "    " * indent, self.rng
        self.n_loops += 1
        name = f"p{self.n_loops}"
        start, stop, step = rng.choice([("0", "3", "1"), ("0", "a % 4", "1"), ("5", "0", "-2"), ("1", "b % 5", "2"),
                                        ("0", "t[1] % 5", "1")])
        w, p = self.body(name, indent, depth)
        return ([f"{pad}for {name} in {start}:{stop}:{step} {{"] + w + [pad + "}"],
                [f"{pad}for {name} in range({start}, {stop}, {step}):"] + p)

    def conditional_loop(self, indent, depth):
        pad, rng = "    " * indent, self.rng
        self.n_loops += 1
        name, limit = f"n{self.n_loops}", rng.randrange(1, 5)
        w, p = self.body(name, indent, depth)
        start, step = f"{pad}{name} = 0", f"{pad}    {name} += 1"
        if rng.random() < .4:
            return ([start, pad + "while true {", step, f"{pad}    if {name} > {limit} {{ break }}"] + w + [pad + "}"],
                    [start, pad + "while True:", step, f"{pad}    if {name} > {limit}: break"] + p)
        return ([start, f"{pad}while {name} < {limit} {{", step] + w + [pad + "}"],
                [start, f"{pad}while {name} < {limit}:", step] + p)


def make(seed):
    rng = random.Random(seed)
    in_function = rng.random() < .5
    program = Program(rng, in_function or rng.random() < .4)
    weft = [f"    {v} = {e}" for v, e in zip(VARIABLES, ("i", "k", "1", "t[0]"))]
    python = weft[:]
    for _ in range(rng.randrange(2, 7)):
        w, p = program.statement(1, False, 0)
        weft, python = weft + w, python + p
        if p[-1].startswith("    return"):
            break
    else:
        last = ["    return (((a * 31 + b) * 31 + c) * 31 + d) % 7919"]
        weft, python = weft + last, python + last
    names = {}
    exec("def run(i, k, t):\n" + "\n".join(python), names)
    result = names["run"](**VALUES)
    print(f"case {result}")
    if in_function:  # called in a loop, where what one call leaves must not reach the next
        lines = ["fn run(i, k) {"] + weft + ["}", "sum = 0", "for z in 0:2 { sum = sum + run(i, k) }", "sum // 2"]
    else:
        lines = [line[4:] for line in weft]
    for line in ["param i: i64", "param k: i64", "param t: i64[4]"] + lines:
        print("| " + line)


if __name__ == "__main__":
    for case in range(CASES):
        make(case)
