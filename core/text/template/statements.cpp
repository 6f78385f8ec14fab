// Tokens to statements.
#include <algorithm>
#include <set>

#include "core/text/template/parser.hpp"
#include "core/text/template/scopes.hpp"

namespace graft::core::jinja {
namespace {

class Statements {
 public:
  explicit Statements(std::vector<Token> tokens) : parser_(std::move(tokens)) {}

  Block run() {
    Block out = block({}, parser_.token());
    return out;
  }

 private:
  /// Statements up to a tag with one of the names `until`, whose name is then the next token; up
  /// to the end of the template where there are none. `opened` is the tag that waits for them.
  Block block(const std::vector<std::string_view>& until, const Token& opened) {
    const Parser::Depth depth(parser_);
    Block out;
    while (!parser_.is(TokenKind::end)) {
      const Token token = parser_.take();
      if (token.kind == TokenKind::data) {
        Stmt data;
        data.at = token.at;
        data.text = token.text;
        out.push_back(std::move(data));
      } else if (token.kind == TokenKind::print_begin) {
        Stmt print;
        print.kind = StmtKind::print;
        print.at = parser_.token().at;
        print.value = known(parser_.expression_or_tuple());
        parser_.expect(TokenKind::print_end, "'}}'");
        out.push_back(std::move(print));
      } else {
        const auto ends = [&](std::string_view name) { return parser_.is_name(name); };
        if (std::any_of(until.begin(), until.end(), ends)) return out;
        out.push_back(statement());
      }
    }
    if (!until.empty()) {
      throw SyntaxFailure(cat("'", opened.text, "' has no '", until.back(), "'"), opened.at);
    }
    return out;
  }

  Stmt statement() {
    const Token tag = parser_.token();
    const std::string name = parser_.expect_name("the name of a statement");
    Stmt out;
    out.at = tag.at;
    if (name == "if") {
      branch(out, tag);
    } else if (name == "for") {
      loop(out, tag);
    } else if (name == "set") {
      assign(out, tag);
    } else if (name == "break" || name == "continue") {
      if (loops_ == 0) throw SyntaxFailure(cat("'", name, "' outside of a loop"), tag.at);
      out.kind = name == "break" ? StmtKind::leave : StmtKind::skip;
      end();
    } else if (name == "generation") {
      out.kind = StmtKind::generation;
      end();
      out.body = inner_block("endgeneration", tag);
    } else if (name == "macro") {
      macro(out, tag);
    } else if (name == "call") {
      call(out, tag);
    } else if (name == "filter") {
      out.kind = StmtKind::filter;
      out.value = known(parser_.filters_of_block());
      end();
      out.body = inner_block("endfilter", tag);
    } else if (name == "with") {
      with(out, tag);
    } else if (name == "block") {
      named(out, tag);
    } else {
      throw SyntaxFailure(cat("the statement '", name, "' is not supported"), tag.at);
    }
    return out;
  }

  /// Filters and tests that do not exist are refused here, but for those in a branch, which may
  /// never be reached.
  ExprPtr known(ExprPtr e) const {
    if (!in_branch_) require_known(*e);
    return e;
  }
  static void require_known(const Expr& e) {
    if (e.kind == ExprKind::condition) return;
    if (e.kind == ExprKind::filter && e.filter == nullptr) {
      throw SyntaxFailure(cat("the filter '", e.text, "' is not supported"), e.at);
    }
    if (e.kind == ExprKind::test && e.test == nullptr) {
      throw SyntaxFailure(cat("the test '", e.text, "' is not supported"), e.at);
    }
    for (const ExprPtr& item : e.items) require_known(*item);
  }

  /// The body of a statement with a scope of its own, up to its end tag.
  Block inner_block(std::string_view until, const Token& opened) {
    const int loops = std::exchange(loops_, 0);
    const bool branch = std::exchange(in_branch_, false);
    Block out = block({until}, opened);
    loops_ = loops;
    in_branch_ = branch;
    parser_.take();
    // "{% endmacro name %}"
    const bool named = until == "endmacro" || until == "endblock";
    if (named && parser_.is(TokenKind::name)) parser_.take();
    end();
    return out;
  }

  /// (a, b=1)
  void parameters(Stmt& out) {
    parser_.expect_symbol("(");
    while (!parser_.skip_symbol(")")) {
      const std::size_t at = parser_.token().at;
      out.targets.push_back(parser_.expect_name("the name of a parameter"));
      if (std::count(out.targets.begin(), out.targets.end(), out.targets.back()) > 1) {
        throw SyntaxFailure(cat("the parameter '", out.targets.back(), "' is there twice"), at);
      }
      if (parser_.skip_symbol("=")) {
        out.values.push_back(known(parser_.expression()));
      } else if (!out.values.empty()) {
        parser_.unexpected("a default, as the parameter before has one");
      }
      if (!parser_.is_symbol(")")) parser_.expect_symbol(",");
    }
  }

  void macro(Stmt& out, const Token& tag) {
    out.kind = StmtKind::macro;
    out.text = parser_.expect_name("the name of a macro");
    parameters(out);
    end();
    body_of_macro(out, "endmacro", tag);
  }

  void call(Stmt& out, const Token& tag) {
    out.kind = StmtKind::call;
    if (parser_.is_symbol("(")) parameters(out);
    out.value = known(parser_.expression());
    if (out.value->kind != ExprKind::call) {
      throw SyntaxFailure("'call' needs the call of a macro", tag.at);
    }
    end();
    body_of_macro(out, "endcall", tag);
  }

  void body_of_macro(Stmt& out, std::string_view until, const Token& tag) {
    const std::size_t begin = parser_.place();
    out.body = inner_block(until, tag);
    out.takes_varargs = parser_.names_since(begin, "varargs");
    out.takes_kwargs = parser_.names_since(begin, "kwargs");
    out.takes_caller = parser_.names_since(begin, "caller");
    const auto named = std::find(out.targets.begin(), out.targets.end(), "caller");
    if (out.takes_caller && named != out.targets.end() &&
        static_cast<std::size_t>(out.targets.end() - named) > out.values.size()) {
      throw SyntaxFailure("the parameter 'caller' needs a default", tag.at);
    }
  }

  /// {% with a = 1, b = 2 %}
  void with(Stmt& out, const Token& tag) {
    out.kind = StmtKind::scope;
    while (!parser_.is(TokenKind::block_end)) {
      out.targets.push_back(parser_.expect_name("a name to set"));
      parser_.expect_symbol("=");
      out.values.push_back(known(parser_.expression()));
      if (!parser_.is(TokenKind::block_end)) parser_.expect_symbol(",");
    }
    end();
    out.body = inner_block("endwith", tag);
  }

  /// {% block name scoped %}
  void named(Stmt& out, const Token& tag) {
    out.kind = StmtKind::named;
    out.text = parser_.expect_name("the name of a block");
    if (!blocks_.insert(out.text).second) {
      throw SyntaxFailure(cat("the block '", out.text, "' is there twice"), tag.at);
    }
    out.scoped = parser_.skip_name("scoped");
    if (parser_.is_name("required"))
      throw SyntaxFailure("a required block has no text here", tag.at);
    end();
    out.body = inner_block("endblock", tag);
  }

  void end() { parser_.expect(TokenKind::block_end, "'%}'"); }

  void branch(Stmt& out, const Token& tag) {
    const Parser::Depth depth(parser_);
    out.kind = StmtKind::branch;
    out.value = parser_.tuple_of_disjunctions();
    end();
    const bool outer = std::exchange(in_branch_, true);
    branches(out, tag);
    in_branch_ = outer;
  }

  void branches(Stmt& out, const Token& tag) {
    out.body = block({"elif", "else", "endif"}, tag);
    const Token next = parser_.take();
    if (next.text == "elif") {
      Stmt other;
      other.at = next.at;
      branch(other, tag);
      out.other.push_back(std::move(other));
      return;
    }
    end();
    if (next.text == "else") {
      out.other = block({"endif"}, tag);
      parser_.take();
      end();
    }
  }

  void loop(Stmt& out, const Token& tag) {
    out.kind = StmtKind::loop;
    const bool inside = std::exchange(in_loop_, true);
    out.target = targets(out, false);
    if (!parser_.skip_name("in")) parser_.unexpected("'in'");
    out.value = known(parser_.tuple_of_disjunctions());
    const bool outer = std::exchange(in_branch_, false);
    if (parser_.skip_name("if")) out.filter = known(parser_.expression());
    out.recursive = parser_.skip_name("recursive");
    end();
    ++loops_;
    out.body = block({"else", "endfor"}, tag);
    --loops_;
    const bool has_else = parser_.take().text == "else";
    end();
    if (has_else) {
      out.other = block({"endfor"}, tag);
      parser_.take();
      end();
    }
    in_branch_ = outer;
    in_loop_ = inside;
  }

  void assign(Stmt& out, const Token& tag) {
    out.target = targets(out, true);
    if (parser_.skip_symbol("=")) {
      out.kind = StmtKind::assign;
      out.value = known(parser_.expression_or_tuple());
      end();
      return;
    }
    if (out.target.unpacks) parser_.unexpected("'='");
    out.kind = StmtKind::capture;
    if (parser_.skip_symbol("|")) out.value = known(parser_.filters_of_block());
    end();
    out.body = inner_block("endset", tag);
  }

  /// a | a.b | a, b | (a, b), c; members only where there are no brackets around them.
  Target targets(const Stmt& out, bool members) {
    const Parser::Depth depth(parser_);
    Target first = target(out, members);
    if (!parser_.is_symbol(",")) return first;
    Target all;
    all.unpacks = true;
    all.parts.push_back(std::move(first));
    while (parser_.skip_symbol(",")) {
      if (parser_.is_symbol(")")) break;
      all.parts.push_back(target(out, members));
    }
    return all;
  }

  Target target(const Stmt& out, bool members) {
    Target one;
    if (parser_.skip_symbol("(")) {
      one.unpacks = true;
      if (!parser_.is_symbol(")")) one = targets(out, false);
      parser_.expect_symbol(")");
      return one;
    }
    one.name = parser_.expect_name("a name to set");
    constexpr std::string_view constants[] = {"true", "false", "none", "True", "False", "None"};
    if (std::find(std::begin(constants), std::end(constants), one.name) != std::end(constants)) {
      throw SyntaxFailure(cat("'", one.name, "' cannot be set"), out.at);
    }
    if (in_loop_ && one.name == "loop") throw SyntaxFailure("a loop has its own 'loop'", out.at);
    if (members && parser_.skip_symbol(".")) one.name += "." + parser_.expect_name("a name");
    return one;
  }

  Parser parser_;
  std::set<std::string> blocks_;
  int loops_ = 0;
  bool in_loop_ = false;    // anywhere in one, be it in a macro there
  bool in_branch_ = false;  // of an if, with nothing that has a scope between
};

}  // namespace

Template parse(std::string_view source) {
  Template out{Statements(lex(source)).run(), {}};
  find_unset_names(out);
  return out;
}

}  // namespace graft::core::jinja
