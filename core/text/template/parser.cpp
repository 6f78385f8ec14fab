#include "core/text/template/parser.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>

namespace graft::core::jinja {
namespace {

ExprPtr make(ExprKind kind, std::size_t at, std::string text = {}) {
  auto out = std::make_unique<Expr>();
  out->kind = kind;
  out->at = at;
  out->text = std::move(text);
  return out;
}

template <class... More>
ExprPtr make_of(ExprKind kind, std::size_t at, std::string text, More... items) {
  ExprPtr out = make(kind, at, std::move(text));
  (out->add(std::move(items)), ...);
  return out;
}

ExprPtr constant(std::size_t at, Value value) {
  ExprPtr out = make(ExprKind::constant, at);
  out->value = std::move(value);
  return out;
}

ExprPtr number(const Token& token) {
  if (token.kind == TokenKind::real)
    return constant(token.at, std::strtod(token.text.c_str(), nullptr));
  std::int64_t value = 0;
  const char letter = token.text.size() < 2 ? '0' : static_cast<char>(token.text[1] | 0x20);
  const int base = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 10;
  const char* end = token.text.data() + token.text.size();
  if (std::from_chars(token.text.data() + (base == 10 ? 0 : 2), end, value, base).ec !=
      std::errc()) {
    throw SyntaxFailure("the integer is too large", token.at);
  }
  return constant(token.at, value);
}

}  // namespace

void Expr::add(ExprPtr item) {
  depth = std::max(depth, item->depth + 1);
  if (depth > deepest_expression) {
    throw SyntaxFailure(cat("an expression deeper than ", deepest_expression), at);
  }
  items.push_back(std::move(item));
}

bool Parser::skip_symbol(std::string_view s) {
  if (!is_symbol(s)) return false;
  take();
  return true;
}

bool Parser::skip_name(std::string_view n) {
  if (!is_name(n)) return false;
  take();
  return true;
}

void Parser::expect_symbol(std::string_view s) {
  if (!skip_symbol(s)) unexpected(cat("'", s, "'"));
}

std::string Parser::expect_name(std::string_view what) {
  if (!is(TokenKind::name)) unexpected(what);
  return take().text;
}

void Parser::expect(TokenKind kind, std::string_view what) {
  if (!is(kind)) unexpected(what);
  take();
}

void Parser::unexpected(std::string_view expected) const {
  std::string found = "'" + token().text + "'";
  if (is(TokenKind::end)) found = "the end of the template";
  if (is(TokenKind::block_end) || is(TokenKind::print_end)) found = "the end of the tag";
  if (is(TokenKind::text)) found = "a string";
  throw SyntaxFailure(cat("expected ", expected, ", but there is ", found), token().at);
}

ExprPtr Parser::expression() {
  const Depth depth(*this);
  ExprPtr value = disjunction();
  while (is_name("if")) {
    const std::size_t at = take().at;
    ExprPtr condition = disjunction();
    ExprPtr other = constant(at, Undefined{"an if without else"});
    if (skip_name("else")) other = expression();
    value = make_of(ExprKind::condition, at, "", std::move(value), std::move(condition),
                    std::move(other));
  }
  return value;
}

ExprPtr Parser::expression_or_tuple() {
  ExprPtr first = expression();
  if (!is_symbol(",")) return first;
  const auto start = first->at;
  ExprPtr out = make_of(ExprKind::tuple, start, "", std::move(first));
  while (skip_symbol(",")) {
    if (is(TokenKind::block_end) || is(TokenKind::print_end)) break;
    out->add(expression());
  }
  return out;
}

ExprPtr Parser::tuple_of_disjunctions() {
  ExprPtr first = disjunction();
  if (!is_symbol(",")) return first;
  const auto start = first->at;
  ExprPtr out = make_of(ExprKind::tuple, start, "", std::move(first));
  while (skip_symbol(",") && !is(TokenKind::block_end)) out->add(disjunction());
  return out;
}

ExprPtr Parser::filters_of_block() {
  ExprPtr out = make(ExprKind::captured, token().at);
  do out = filter(std::move(out));
  while (skip_symbol("|"));
  return out;
}

bool Parser::names_since(std::size_t begin, std::string_view name) const {
  return std::any_of(tokens_.begin() + static_cast<std::ptrdiff_t>(begin),
                     tokens_.begin() + static_cast<std::ptrdiff_t>(next_),
                     [&](const Token& t) { return t.kind == TokenKind::name && t.text == name; });
}

ExprPtr Parser::disjunction() {
  ExprPtr left = conjunction();
  while (is_name("or")) {
    const std::size_t at = take().at;
    left = make_of(ExprKind::either, at, "", std::move(left), conjunction());
  }
  return left;
}

ExprPtr Parser::conjunction() {
  ExprPtr left = negation();
  while (is_name("and")) {
    const std::size_t at = take().at;
    left = make_of(ExprKind::both, at, "", std::move(left), negation());
  }
  return left;
}

ExprPtr Parser::negation() {
  if (!is_name("not")) return comparison();
  const Depth depth(*this);
  const std::size_t at = take().at;
  return make_of(ExprKind::negate, at, "", negation());
}

ExprPtr Parser::comparison() {
  const std::size_t at = token().at;
  ExprPtr left = sum();
  ExprPtr out;
  while (true) {
    std::string op;
    for (const char* symbol : {"==", "!=", "<", "<=", ">", ">="}) {
      if (is_symbol(symbol)) op = symbol;
    }
    if (is_name("in")) op = "in";
    if (is_name("not") && tokens_[next_ + 1].kind == TokenKind::name &&
        tokens_[next_ + 1].text == "in") {
      take();
      op = "not in";
    }
    if (op.empty()) break;
    take();
    if (!out) out = make_of(ExprKind::compare, at, "", std::move(left));
    out->names.push_back(op);
    out->add(sum());
  }
  return out ? std::move(out) : std::move(left);
}

ExprPtr Parser::sum() {
  ExprPtr left = concatenation();
  while (is_symbol("+") || is_symbol("-")) {
    const Token op = take();
    left = make_of(ExprKind::arithmetic, op.at, op.text, std::move(left), concatenation());
  }
  return left;
}

ExprPtr Parser::concatenation() {
  ExprPtr left = product();
  if (!is_symbol("~")) return left;
  const auto start = left->at;
  ExprPtr out = make_of(ExprKind::concatenate, start, "", std::move(left));
  while (skip_symbol("~")) out->add(product());
  return out;
}

ExprPtr Parser::product() {
  ExprPtr left = power();
  while (is_symbol("*") || is_symbol("/") || is_symbol("//") || is_symbol("%")) {
    const Token op = take();
    left = make_of(ExprKind::arithmetic, op.at, op.text, std::move(left), power());
  }
  return left;
}

ExprPtr Parser::power() {
  ExprPtr left = unary(true);
  while (is_symbol("**")) {
    const Token op = take();
    left = make_of(ExprKind::arithmetic, op.at, op.text, std::move(left), unary(true));
  }
  return left;
}

ExprPtr Parser::unary(bool with_filters) {
  const Depth depth(*this);
  ExprPtr node;
  if (is_symbol("-") || is_symbol("+")) {
    const Token op = take();
    node = make_of(op.text == "-" ? ExprKind::minus : ExprKind::plus, op.at, "", unary(false));
  } else {
    node = primary();
  }
  node = postfix(std::move(node));
  return with_filters ? filters(std::move(node)) : std::move(node);
}

ExprPtr Parser::primary() {
  const Token token = this->token();
  switch (token.kind) {
    case TokenKind::name:
      take();
      if (token.text == "true" || token.text == "True") return constant(token.at, true);
      if (token.text == "false" || token.text == "False") return constant(token.at, false);
      if (token.text == "none" || token.text == "None") return constant(token.at, {});
      return make(ExprKind::name, token.at, token.text);
    case TokenKind::text: {
      std::string text;
      while (is(TokenKind::text)) text += take().text;
      return constant(token.at, text);
    }
    case TokenKind::integer:
    case TokenKind::real:
      return number(take());
    default:
      break;
  }
  if (skip_symbol("(")) {
    if (skip_symbol(")")) return make(ExprKind::tuple, token.at);
    ExprPtr first = expression();
    if (skip_symbol(")")) return first;
    ExprPtr out = make_of(ExprKind::tuple, token.at, "", std::move(first));
    expect_symbol(",");
    elements(*out, ")");
    return out;
  }
  if (skip_symbol("[")) {
    ExprPtr out = make(ExprKind::list, token.at);
    elements(*out, "]");
    return out;
  }
  if (skip_symbol("{")) {
    ExprPtr out = make(ExprKind::dict, token.at);
    while (!skip_symbol("}")) {
      out->add(expression());
      expect_symbol(":");
      out->add(expression());
      if (!is_symbol("}")) expect_symbol(",");
    }
    return out;
  }
  unexpected("an expression");
}

void Parser::elements(Expr& into, std::string_view end) {
  while (!skip_symbol(end)) {
    into.add(expression());
    if (!is_symbol(end)) expect_symbol(",");
  }
}

ExprPtr Parser::postfix(ExprPtr node) {
  while (true) {
    if (is_symbol(".")) {
      const std::size_t at = take().at;
      if (is(TokenKind::integer)) {
        node = make_of(ExprKind::subscript, at, "", std::move(node), number(take()));
      } else {
        node = make_of(ExprKind::attribute, at, expect_name("a name after '.'"), std::move(node));
      }
    } else if (is_symbol("[")) {
      node = subscript(std::move(node));
    } else if (is_symbol("(")) {
      node = make_of(ExprKind::call, token().at, "", std::move(node));
      arguments(*node);
    } else {
      return node;
    }
  }
}

ExprPtr Parser::subscript(ExprPtr node) {
  const std::size_t at = take().at;
  ExprPtr bounds[3];
  int parts = 0;
  bool slices = false;
  while (!is_symbol("]")) {
    if (skip_symbol(":")) {
      slices = true;
      if (++parts > 2) unexpected("']'");
      continue;
    }
    if (bounds[parts]) unexpected("']'");
    bounds[parts] = expression();
  }
  take();
  if (!slices && !bounds[0]) throw SyntaxFailure("the index is missing", at);
  if (!slices) {
    return make_of(ExprKind::subscript, at, "", std::move(node), std::move(bounds[0]));
  }
  ExprPtr out = make_of(ExprKind::slice, at, "", std::move(node));
  for (ExprPtr& bound : bounds) {
    out->add(bound ? std::move(bound) : constant(at, {}));
  }
  return out;
}

ExprPtr Parser::filters(ExprPtr node) {
  while (true) {
    if (skip_symbol("|")) {
      node = filter(std::move(node));
    } else if (is_name("is")) {
      node = test(std::move(node));
    } else if (is_symbol("(")) {
      node = make_of(ExprKind::call, token().at, "", std::move(node));
      arguments(*node);
    } else {
      return node;
    }
  }
}

/// What follows a "|".
ExprPtr Parser::filter(ExprPtr node) {
  const std::size_t at = token().at;
  const std::string name = expect_name("the name of a filter");
  node = make_of(ExprKind::filter, at, name, std::move(node));
  node->filter = find_filter(name);
  if (is_symbol("(")) arguments(*node);
  return node;
}

ExprPtr Parser::test(ExprPtr node) {
  const std::size_t is_at = take().at;
  const bool negated = skip_name("not");
  const std::size_t at = token().at;
  const std::string name = expect_name("the name of a test");
  ExprPtr out = make_of(ExprKind::test, at, name, std::move(node));
  out->test = find_test(name);
  if (is_symbol("(")) {
    arguments(*out);
  } else if (is(TokenKind::name) && !is_name("else") && !is_name("or") && !is_name("and")) {
    // "a is number if b" too: Jinja takes the "if" for an argument, and fails.
    if (is_name("is")) unexpected("no second 'is'");
    out->add(postfix(primary()));
  } else if (is(TokenKind::text) || is(TokenKind::integer) || is(TokenKind::real) ||
             is_symbol("[") || is_symbol("{")) {
    out->add(postfix(primary()));
  }
  if (!negated) return out;
  return make_of(ExprKind::negate, is_at, "", std::move(out));
}

void Parser::arguments(Expr& call) {
  expect_symbol("(");
  while (!skip_symbol(")")) {
    const auto has = [&](std::string_view name) {
      return std::find(call.names.begin(), call.names.end(), name) != call.names.end();
    };
    if (has("**")) throw SyntaxFailure("an argument after '**'", token().at);
    if (is_symbol("**") || (is_symbol("*") && !has("*"))) {
      call.names.push_back(take().text);
      call.add(expression());
      if (!is_symbol(")")) expect_symbol(",");
      continue;
    }
    const bool named = is(TokenKind::name) && tokens_[next_ + 1].kind == TokenKind::symbol &&
                       tokens_[next_ + 1].text == "=";
    if (named) {
      call.names.push_back(take().text);
      take();
    } else if (!call.names.empty()) {
      throw SyntaxFailure("an argument without a name after one with a name", token().at);
    }
    call.add(expression());
    if (!is_symbol(")")) expect_symbol(",");
  }
}

}  // namespace graft::core::jinja
