"""Random templates from the language that chat templates use."""
import random

NAMES = ["x", "s", "n", "l", "d", "t", "e", "u", "m"]
CONTEXT = {"x": 3, "s": "a <B> c\u00e9\nd", "n": None, "l": [3, "b", 1.5, True, None], "d": {"k": 1, "a": "v"},
           "t": True, "e": "", "m": [{"role": "user", "content": " Hi ", "n": 2},
                                     {"role": "assistant", "content": "yo", "n": 1}, {"role": "user"}]}
TEXTS = ["", " ", "a", "a b", "\n", "  x\n", "{", "%}", "<|im_end|>", "\u00e9", "it's", '"']
FILTERS = ["trim", "length", "upper", "lower", "capitalize", "title", "string", "tojson", "list", "first", "last",
           "default('z')", "default('z', true)", "join('-')", "join", "replace('a', 'bb')", "int", "float", "abs",
           "sort", "unique|list", "reverse|list", "items|list", "dictsort", "select|list", "reject|list",
           "map(attribute='role')|list", "selectattr('n')|list", "selectattr('role', 'equalto', 'user')|list",
           "rejectattr('content', 'defined')|list", "tojson(indent=2)", "tojson(ensure_ascii=true)", "e", "safe",
           "indent(2)", "indent(3, true)", "wordcount", "center(9)", "round(1)", "min", "max", "sum", "count",
           "batch(2)|list", "groupby('role')", "sort(attribute='n')", "sort(reverse=true)", "map('upper')|list",
           "truncate(5)", "format(1)", "d('q')", "urlencode", "attr('k')"]
TESTS = ["defined", "undefined", "none", "string", "number", "integer", "float", "boolean", "mapping", "iterable",
         "sequence", "true", "false", "odd", "even", "equalto(3)", "in [3, 'a']", "divisibleby 2", "lower", "upper",
         "callable", "gt 2", "sameas none"]
METHODS = [".strip()", ".split()", ".split('a')", ".upper()", ".lower()", ".title()", ".startswith('a')",
           ".endswith('d')", ".replace('a', 'x')", ".items()|list", ".keys()|list", ".values()|list", ".get('k')",
           ".get('z', 5)", ".k", "['a']", "[0]", "[-1]", "[1:]", "[::-1]", "[:2]", ".content", ".role", ".rstrip('d')",
           ".lstrip()", ".find('a')", ".count('a')", ".append(1)", ".index(3)", ".splitlines()", ".join(['p', 'q'])"]
OPERATORS = ["+", "-", "*", "/", "//", "%", "**", "~", "==", "!=", "<", ">", "<=", ">=", "in", "not in", "and", "or"]


class Grammar:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.macros = 0

    def literal(self):
        return self.random.choice([
            lambda: str(self.random.randint(-3, 12)), lambda: self.random.choice(["1.5", "2.0", "1e3"]),
            lambda: self.random.choice(["true", "false", "none", "True", "None"]),
            lambda: repr(self.random.choice(["", "a", "a b", "B", "it's", "x\ny"])),
            lambda: "[" + ", ".join(self.expression(3) for _ in range(self.random.randint(0, 3))) + "]",
            lambda: "(" + self.expression(3) + ",)",
            lambda: "{'k': " + self.expression(3) + ", 'a': " + self.expression(3) + "}"])()

    def expression(self, depth=0):
        if depth >= 3:
            return self.random.choice(NAMES + ["1", "'a'", "none", "2.5"])
        kind = self.random.random()
        inner = lambda: self.expression(depth + 1)  # noqa: E731
        if kind < 0.22:
            return self.random.choice(NAMES)
        if kind < 0.34:
            return self.literal()
        if kind < 0.5:
            return f"{inner()} | {self.random.choice(FILTERS)}"
        if kind < 0.6:
            # A literal number cut into slices: Jinja works out what is constant in another way than what is not.
            what, method = inner(), self.random.choice(METHODS)
            return f"({'l' if what[-1:].isdigit() and ':' in method else what}){method}"
        if kind < 0.68:
            return f"{inner()} is {self.random.choice(['', 'not '])}{self.random.choice(TESTS)}"
        if kind < 0.76:
            return f"{inner()} if {inner()}" + (f" else {inner()}" if self.random.random() < 0.7 else "")
        if kind < 0.82:
            return f"not {inner()}"
        if kind < 0.86:
            return f"range({self.random.randint(0, 4)}) | list"
        return f"({inner()}) {self.random.choice(OPERATORS)} ({inner()})"

    def tag(self, text):
        left, right = self.random.choice(["{%", "{%", "{%-", "{%+"]), self.random.choice(["%}", "%}", "-%}"])
        return f"{left} {text} {right}"

    def block(self, depth, loop=False):
        return "".join(self.statement(depth, loop) for _ in range(self.random.randint(1, 3)))

    def statement(self, depth=0, loop=False):
        kind = self.random.random()
        if depth >= 3 or kind < 0.3:
            return self.random.choice(TEXTS) + self.random.choice(["", "\n", " "])
        if kind < 0.55:
            return self.random.choice(["{{", "{{", "{{-"]) + f" {self.expression()} " + \
                self.random.choice(["}}", "}}", "-}}"])
        tag, body = self.tag, self.block(depth + 1, loop)
        if kind < 0.66:
            more = tag("else") + self.block(depth + 1, loop) if self.random.random() < 0.5 else ""
            if self.random.random() < 0.3:
                more = tag(f"elif {self.expression(1)}") + self.block(depth + 1, loop) + more
            return tag(f"if {self.expression(1)}") + body + more + tag("endif")
        if kind < 0.78:
            source = self.random.choice(["m", "l", "d", "s", "d.items()", "range(3)", "m[1:]", self.expression(2)])
            target = "a, b" if "items" in source else "i"
            inner = self.block(depth + 1, True) + self.random.choice(
                ["", "{{ loop.index }}", "{{ loop.last }}", "{{ loop.length }}", "{{ i }}", "{{ loop.previtem }}",
                 "{{ loop.cycle('p', 'q') }}", tag("if loop.first") + tag("continue") + tag("endif"),
                 tag("if loop.index == 2") + tag("break") + tag("endif"), "{{ loop.revindex0 }}"])
            condition = " if i" if target == "i" and self.random.random() < 0.2 else ""
            other = tag("else") + "none" if self.random.random() < 0.2 else ""
            return tag(f"for {target} in {source}{condition}") + inner + other + tag("endfor")
        if kind < 0.88:
            return self.random.choice([
                lambda: tag(f"set {self.random.choice(NAMES)} = {self.expression()}"),
                lambda: tag("set x") + body + tag("endset"),
                lambda: tag("set q, r = x, s"),
                lambda: tag("set ns = namespace(v=1)") + tag(f"set ns.v = {self.expression(1)}") + "{{ ns.v }}",
                lambda: tag("set e | upper") + body + tag("endset")])()
        if kind < 0.94:
            self.macros += 1
            name = f"f{self.macros}"
            call = self.random.choice([f"{name}(1)", f"{name}(s, b=2)", f"{name}()", f"{name}(1, 2, 3)", f"{name}(b=x)"])
            return tag(f"macro {name}(a, b='y')") + "{{ a }}|{{ b }}" + body + tag("endmacro") + "{{ " + call + " }}"
        return self.random.choice([
            lambda: tag("filter upper") + body + tag("endfilter"),
            lambda: tag("with a = x, b = s") + "{{ a }}{{ b }}" + body + tag("endwith"),
            lambda: tag("generation") + body + tag("endgeneration"),
            lambda: "{# a comment #}" + self.random.choice(["", "\n"]),
            lambda: tag("raw") + "{{ x }}" + tag("endraw"),
            lambda: "{{ raise_exception('boom') }}" if self.random.random() < 0.1 else "."])()

    def template(self):
        return self.block(0) + self.block(0)
