// Tokens to expressions.
#pragma once
#include <string_view>
#include <vector>

#include "core/text/template/ast.hpp"
#include "core/text/template/lexer.hpp"

namespace graft::core::jinja {

/// Reads expressions from a list of tokens; statements are read on top of it.
class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  /// With "a if b else c".
  ExprPtr expression();
  /// The same, or several with commas between them: a tuple.
  ExprPtr expression_or_tuple();
  /// The same without "a if b else c", as what a for statement goes through.
  ExprPtr tuple_of_disjunctions();
  /// "upper | trim": filters of the text that a block writes.
  ExprPtr filters_of_block();

  /// The place in the list of tokens, and whether a name is among those taken since.
  std::size_t place() const { return next_; }
  bool names_since(std::size_t begin, std::string_view name) const;

  const Token& token() const { return tokens_[next_]; }
  Token take() { return tokens_[next_ + 1 < tokens_.size() ? next_++ : next_]; }
  bool is(TokenKind kind) const { return token().kind == kind; }
  bool is_symbol(std::string_view s) const { return is(TokenKind::symbol) && token().text == s; }
  bool is_name(std::string_view n) const { return is(TokenKind::name) && token().text == n; }
  bool skip_symbol(std::string_view s);
  bool skip_name(std::string_view n);
  void expect_symbol(std::string_view s);
  std::string expect_name(std::string_view what);
  void expect(TokenKind kind, std::string_view what);
  /// "expected .., but there is ..".
  [[noreturn]] void unexpected(std::string_view expected) const;

  /// Counts how deep the parser is; deeper than the limit fails.
  class Depth {
   public:
    explicit Depth(Parser& parser) : parser_(parser) {
      if (++parser_.depth_ > deepest_nesting) {
        throw SyntaxFailure(cat("nested deeper than ", deepest_nesting), parser_.token().at);
      }
    }
    ~Depth() { --parser_.depth_; }
    Depth(const Depth&) = delete;
    Depth& operator=(const Depth&) = delete;

   private:
    Parser& parser_;
  };

 private:
  ExprPtr disjunction();
  ExprPtr conjunction();
  ExprPtr negation();
  ExprPtr comparison();
  ExprPtr sum();
  ExprPtr concatenation();
  ExprPtr product();
  ExprPtr power();
  ExprPtr unary(bool with_filters);
  ExprPtr primary();
  ExprPtr postfix(ExprPtr node);
  ExprPtr filters(ExprPtr node);
  ExprPtr filter(ExprPtr node);
  ExprPtr subscript(ExprPtr node);
  ExprPtr test(ExprPtr node);
  void arguments(Expr& call);
  void elements(Expr& into, std::string_view end);

  std::vector<Token> tokens_;
  std::size_t next_ = 0;
  int depth_ = 0;
};

}  // namespace graft::core::jinja
