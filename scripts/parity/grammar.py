"""Random templates from the language that chat templates use."""
import random

NAMES = ["x", "s", "n", "l", "d", "t", "e", "u", "m", "p", "h", "f", "o"]
CONTEXT = {"x": 3, "s": "a <B> c\u00e9\nd", "n": None, "l": [3, "b", 1.5, True, None], "d": {"k": 1, "a": "v"},
           "t": True, "e": "", "p": [[1, [2, "z"]], [3, [4, "y"]]], "h": "<b>x &amp; y</b>  <i>z</i>", "f": 2.5,
           "o": {"name": "f", "args": {"q": [1, 2.0, None, True], "r": "it's \"so\""}, "B": "c", "aa": -0.0}, "m": [{"role": "user", "content": " Hi ", "n": 2},
                                     {"role": "assistant", "content": "yo", "n": 1}, {"role": "user"}]}
TEXTS = ["", " ", "a", "a b", "\n", "  x\n", "{", "%}", "<|im_end|>", "\u00e9", "it's", '"']
FILTERS = ["trim", "length", "upper", "lower", "capitalize", "title", "string", "tojson", "list", "first", "last",
           "default('z')", "default('z', true)", "join('-')", "join", "replace('a', 'bb')", "int", "float", "abs",
           "sort", "unique|list", "reverse|list", "items|list", "dictsort", "select|list", "reject|list",
           "map(attribute='role')|list", "selectattr('n')|list", "selectattr('role', 'equalto', 'user')|list",
           "rejectattr('content', 'defined')|list", "tojson(indent=2)", "tojson(ensure_ascii=true)", "e", "safe",
           "indent(2)", "indent(3, true)", "wordcount", "center(9)", "round(1)", "min", "max", "sum", "count",
           "batch(2)|list", "groupby('role')", "sort(attribute='n')", "sort(reverse=true)", "map('upper')|list",
           "truncate(5)", "format(1)", "d('q')", "urlencode", "attr('k')", "batch(3, 'f')|list", "slice(2)|list",
           "slice(3, 'x')|map('join', '-')|list", "dictsort(true)", "dictsort(by='value')", "dictsort(false, 'key', true)",
           "groupby(0)|list", "groupby('role', default='none')", "groupby('n')|map('first')|list", "unique(attribute='role')|list",
           "map('default', 'w')|list", "map(attribute='n', default=0)|list", "map('replace', 'a', 'o')|list", "map('length')|sum",
           "map(attribute='1.0')|list", "map('first')|list", "select('string')|list", "select('gt', 1)|list", "reject('none')|list",
           "select('in', [3, 'b'])|list", "selectattr('n', 'gt', 1)|map(attribute='role')|join(', ')", "sum(start=2)",
           "sum(attribute='n')", "selectattr('role', 'in', ['user'])|list|length", "rejectattr('n', 'odd')|list", "striptags",
           "wordwrap(4)", "wordwrap(3, false)", "wordwrap(6, true, '/')", "pprint", "xmlattr", "filesizeformat",
           "filesizeformat(true)", "max(attribute='n')", "min(case_sensitive=true)", "sort(case_sensitive=true)",
           "sort(attribute='role,n')", "sort(true, true)", "indent", "indent('> ')", "indent(2, blank=true)", "truncate(9, true)",
           "truncate(4, false, '..', 0)", "round(2, 'floor')", "round(-1)", "round|int", "int(base=16)", "int(7)", "float(1.5)",
           "tojson(separators=(',', ':'))", "tojson(sort_keys=true)", "tojson(indent=1, sort_keys=true)", "tojson|length",
           "join(', ', attribute='role')", "default({}, true)|tojson", "string|length", "first|default('q')", "last|string",
           "forceescape", "escape|upper", "replace('a', 'b', 1)", "trim('aB')", "center(6)|trim", "title|e", "list|tojson"]
TESTS = ["defined", "undefined", "none", "string", "number", "integer", "float", "boolean", "mapping", "iterable",
         "sequence", "true", "false", "odd", "even", "equalto(3)", "in [3, 'a']", "divisibleby 2", "lower", "upper",
         "callable", "gt 2", "sameas none", "filter", "test", "escaped", "ge(2)", "lt 3.5", "le 'b'", "ne none", "eq x",
         "sameas true", "in 'abc'", "in d", "divisibleby(3)", "number and x is odd", "mapping or x", "string and s"]
METHODS = [".strip()", ".split()", ".split('a')", ".upper()", ".lower()", ".title()", ".startswith('a')",
           ".endswith('d')", ".replace('a', 'x')", ".items()|list", ".keys()|list", ".values()|list", ".get('k')",
           ".get('z', 5)", ".k", "['a']", "[0]", "[-1]", "[1:]", "[::-1]", "[:2]", ".content", ".role", ".rstrip('d')",
           ".lstrip()", ".find('a')", ".count('a')", ".append(1)", ".index(3)", ".splitlines()", ".join(['p', 'q'])",
           ".swapcase()", ".casefold()", ".istitle()", ".isnumeric()", ".isprintable()", ".isidentifier()", ".expandtabs(4)",
           ".isdigit()", ".isalpha()", ".isalnum()", ".isspace()", ".isupper()", ".islower()", ".zfill(6)", ".ljust(6, '.')",
           ".rjust(7)", ".center(9, '*')", ".partition(' ')", ".rpartition('a')", ".rsplit(' ', 1)", ".split(' ', 1)", ".split(none, 1)",
           ".removeprefix('a')", ".removesuffix('d')", ".rfind('a')", ".format(1, k=2)", ".capitalize()", ".splitlines(true)",
           ".items()", ".keys()", ".values()", ".copy()", ".get(3)", ".pop('k')", ".update({'k': 2})", "[1]", "[true]", "[none]", "[1:3]",
           "[-2:]", "[::2]", "[3:0:-1]", ".0", ".role.upper()", ".n", ".args.q[1]", ".startswith(('a', 'h'))",
           ".count('a', 1)", ".items()|list|first", ".name", ".get('args', {}).get('r')", ".index('a')"]
OPERATORS = ["+", "-", "*", "/", "//", "%", "**", "~", "==", "!=", "<", ">", "<=", ">=", "in", "not in", "and", "or"]


class Grammar:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.macros = 0

    def number(self):
        self.macros += 1
        return self.macros

    def literal(self):
        return self.random.choice([
            lambda: str(self.random.randint(-3, 12)), lambda: self.random.choice(["1.5", "2.0", "1e3"]),
            lambda: self.random.choice(["true", "false", "none", "True", "None"]),
            lambda: repr(self.random.choice(["", "a", "a b", "B", "it's", "x\ny"])),
            lambda: "[" + ", ".join(self.expression(3) for _ in range(self.random.randint(0, 3))) + "]",
            lambda: "(" + self.expression(3) + ",)", lambda: "(" + self.expression(3) + ", " + self.expression(3) + ")",
            lambda: "{" + self.random.choice(["1", "none", "true", "2.5", "x", "s", "(1, 2)", "l", "'k'"]) + ": " + self.expression(3) +
            ", " + self.random.choice(["1", "false", "'a'", "1.0", "e"]) + ": " + self.expression(3) + "}",
            lambda: "dict(a=" + self.expression(3) + ", b=1)", lambda: "'%s' % " + self.expression(3), lambda: "'%-5s|%03d' % (" +
            self.expression(3) + ", x)", lambda: "'{}:{:>4}'.format(" + self.expression(3) + ", x)",
            lambda: repr(self.random.choice(["a-b c--d e", "a\tb", "<p>x</p>", "{k} {0}", "Ab Cd", "stra\u00dfe", "12", "0x1F", "%d"])),
            lambda: "'a' 'b'", lambda: "[" + self.expression(3) + ", [" + self.expression(3) + "]]",
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
            return self.random.choice([
                f"range({self.random.randint(0, 4)}) | list", f"range({self.random.randint(0, 4)})", "range(1, 9, 3)", "range(4)[1:3]",
                "range(5)[::-2]", "range(3).stop", "namespace(a=1)", "namespace(d)", "range(6)|batch(4)|list", "range(3) == [0, 1, 2]",
                "cycler('a', 'b').next()", "joiner('|')()", "dict(d, z=1)", "dict([(1, 2)])", "range is callable",
                "x if t", "not x is none", "x < 5 < 9", "1 < x > 2", "-x", "+x", "- x | abs", "(x)", "x ~ s ~ n", "x // 2 * 2 + x % 2",
                "'a' in s and 'b' not in l", "d.k.z is defined", "u.z", "m[0].role ~ m[-1]['role']", "m|map(attribute='role')|join(',')",
                "(m|first).role", "(m|last)|tojson", "x == 3.0", "1 == true", "none == false", "'' is none", "l + [1]", "l * 2", "'ab' * x"])
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
            target = "a, b" if "items" in source else self.random.choice(["i"] * 5 + ["i, j"])
            if self.random.random() < 0.25:
                target, source = self.random.choice([
                    ("i, (j, k)", "p"), ("(i, j), k", "[[[1, 2], 3], [s, 4]]"), ("(i, (j, k))", "p"), ("i, (j,)", "[[1, [2]]]"), ("i, j, k", "p"),
                    ("i, j", "o.items()"), ("i, j", "m|groupby('role')"), ("i", "o"), ("i, j", "d|dictsort"), ("i, j", "p"), ("(i)", "l"),
                    ("i,", "[[1], [2]]"), ("i, [j]", "p"), ("i", "p|sum(start=[])"), ("i", "m if t else []"), ("i", "(1, 2, 3)"), ("i", "1, 2")])
            inner = self.block(depth + 1, True) + self.random.choice(
                ["", "{{ loop.index }}", "{{ loop.last }}", "{{ loop.length }}", "{{ i }}", "{{ loop.previtem }}",
                 "{{ loop.cycle('p', 'q') }}", tag("if loop.first") + tag("continue") + tag("endif"),
                 tag("if loop.index == 2") + tag("break") + tag("endif"), "{{ loop.revindex0 }}", "{{ loop }}", "{{ j }}", "{{ loop.changed(i) }}", "{{ loop.nextitem is defined }}",
                 "{{ loop.depth }}{{ loop.index0 }}", tag("if not loop.last") + ", " + tag("endif"), "{{ k|default('-') }}",
                 tag("set x = i") + "{{ x }}"])
            condition = " if i" if target == "i" and self.random.random() < 0.2 else ""
            other = tag("else") + "none" if self.random.random() < 0.2 else ""
            return tag(f"for {target} in {source}{condition}") + inner + other + tag("endfor")
        if kind < 0.88:
            return self.random.choice([
                lambda: tag(f"set {self.random.choice(NAMES)} = {self.expression()}"),
                lambda: tag("set x") + body + tag("endset"),
                lambda: tag("set q, r = x, s"), lambda: tag("set (q, r), v = l[:2], x") + "{{ q }}{{ r }}{{ v }}",
                lambda: tag("set ns = namespace(a=1, b=x)") + tag("set ns.a, ns.b = x, " + self.expression(2)) + "{{ ns.a }}{{ ns.b }}{{ ns }}",
                lambda: tag("set q = " + self.expression(2) + ", x") + "{{ q }}", lambda: tag("set z | trim | replace('a', 'o')") + body +
                tag("endset") + "{{ z|length }}{{ z }}",
                lambda: tag("set ns = namespace(v=1)") + tag(f"set ns.v = {self.expression(1)}") + "{{ ns.v }}",
                lambda: tag("set e | upper") + body + tag("endset")])()
        if kind < 0.94:
            self.macros += 1
            name = f"f{self.macros}"
            if self.random.random() < 0.25:
                return (tag(f"macro {name}(a, b=x)") + self.random.choice(["{{ caller() }}", "{{ caller(a) }}", "{{ varargs }}{{ kwargs }}", "{{ b }}"]) +
                        body + tag("endmacro") + self.random.choice([
                            tag(f"call {name}(1)") + body + tag("endcall"), tag(f"call(y) {name}(s)") + "{{ y }}" + body + tag("endcall"),
                            "{{ " + name + " }}", "{{ " + name + "(1, 2, 3, z=4) }}", "{{ " + name + "(*l) }}", "{{ " + name + "(**d) }}",
                            "{{ " + name + ".name }}", "{{ [" + name + "] }}"]))
            call = self.random.choice([f"{name}(1)", f"{name}(s, b=2)", f"{name}()", f"{name}(1, 2, 3)", f"{name}(b=x)"])
            return tag(f"macro {name}(a, b='y')") + "{{ a }}|{{ b }}" + body + tag("endmacro") + "{{ " + call + " }}"
        return self.random.choice([
            lambda: tag("filter upper") + body + tag("endfilter"), lambda: tag("filter indent(2) | trim") + body + tag("endfilter"),
            lambda: tag("block b%d" % self.number()) + body + tag("endblock"),
            lambda: tag("for i in p recursive") + "[{{ i if i is number else loop(i) if i is not string }}]" + tag("endfor"),
            lambda: tag("with a = x, b = s") + "{{ a }}{{ b }}" + body + tag("endwith"),
            lambda: tag("generation") + body + tag("endgeneration"),
            lambda: "{# a comment #}" + self.random.choice(["", "\n"]),
            lambda: tag("raw") + "{{ x }}" + tag("endraw"),
            lambda: "{{ raise_exception('boom') }}" if self.random.random() < 0.1 else "."])()

    def template(self):
        return self.block(0) + self.block(0)
