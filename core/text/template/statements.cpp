// Tokens to statements.
#include <algorithm>

#include "core/text/template/parser.hpp"

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
        print.value = parser_.expression_or_tuple();
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
      out.body = block({"endgeneration"}, tag);
      parser_.take();
      end();
    } else {
      throw SyntaxFailure(cat("the statement '", name, "' is not supported"), tag.at);
    }
    return out;
  }

  void end() { parser_.expect(TokenKind::block_end, "'%}'"); }

  void branch(Stmt& out, const Token& tag) {
    const Parser::Depth depth(parser_);
    out.kind = StmtKind::branch;
    out.value = parser_.expression_or_tuple();
    end();
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
    targets(out, false);
    if (!parser_.skip_name("in")) parser_.unexpected("'in'");
    out.value = parser_.disjunction();
    if (parser_.is_symbol(",")) {
      throw SyntaxFailure("a loop over a tuple needs parentheses", parser_.token().at);
    }
    if (parser_.skip_name("if")) out.filter = parser_.expression();
    if (parser_.is_name("recursive")) {
      throw SyntaxFailure("'recursive' is not supported", parser_.token().at);
    }
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
  }

  void assign(Stmt& out, const Token& tag) {
    targets(out, true);
    if (parser_.skip_symbol("=")) {
      out.kind = StmtKind::assign;
      out.value = parser_.expression_or_tuple();
      end();
      return;
    }
    if (parser_.is_symbol("|")) {
      throw SyntaxFailure("a filter of a set block is not supported", parser_.token().at);
    }
    if (out.unpacks) parser_.unexpected("'='");
    out.kind = StmtKind::capture;
    end();
    const int loops = std::exchange(loops_, 0);
    out.body = block({"endset"}, tag);
    loops_ = loops;
    parser_.take();
    end();
  }

  /// a | a.b | a, b | (a, b)
  void targets(Stmt& out, bool members) {
    const bool brackets = parser_.skip_symbol("(");
    while (true) {
      std::string name = parser_.expect_name("a name to set");
      constexpr std::string_view constants[] = {"true", "false", "none", "True", "False", "None"};
      if (std::find(std::begin(constants), std::end(constants), name) != std::end(constants)) {
        throw SyntaxFailure(cat("'", name, "' cannot be set"), out.at);
      }
      if (members && parser_.skip_symbol(".")) name += "." + parser_.expect_name("a name");
      out.targets.push_back(std::move(name));
      if (!parser_.skip_symbol(",")) break;
      out.unpacks = true;
      if (!parser_.is(TokenKind::name)) break;
    }
    if (brackets) parser_.expect_symbol(")");
  }

  Parser parser_;
  int loops_ = 0;
};

}  // namespace

Block parse(std::string_view source) {
  return Statements(lex(source)).run();
}

}  // namespace graft::core::jinja
