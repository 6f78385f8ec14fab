#include "core/text/template/evaluation.hpp"

namespace graft::core::jinja {

Value Evaluator::lookup(const std::string& name) const {
  for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
    if (const Value* found = scope->find(name)) return *found;
  }
  if (is_global_function(name)) return Function{name, nullptr};
  if (name == "self" || name == "lipsum") throw Failure(cat("'", name, "' is not supported"));
  return Undefined{name};
}

Value Evaluator::eval(const Expr& e) {
  const Depth depth(depth_);
  limits_.step();
  at_ = e.at;
  switch (e.kind) {
    case ExprKind::constant:
      return e.value;
    case ExprKind::name:
      return lookup(e.text);
    case ExprKind::list:
      return Value::list(values(e, 0));
    case ExprKind::tuple:
      return Value::tuple(values(e, 0));
    case ExprKind::dict:
      return dict(e);
    case ExprKind::negate:
      return !truth(eval(*e.items[0]));
    case ExprKind::both: {
      Value left = eval(*e.items[0]);
      return truth(left) ? eval(*e.items[1]) : left;
    }
    case ExprKind::either: {
      Value left = eval(*e.items[0]);
      return truth(left) ? left : eval(*e.items[1]);
    }
    case ExprKind::condition:
      return eval(truth(eval(*e.items[1])) ? *e.items[0] : *e.items[2]);
    case ExprKind::compare:
      return compare(e);
    case ExprKind::captured:
      return captured_text_;
    default:
      return operation(e);
  }
}

/// Those that evaluate all their parts first.
Value Evaluator::operation(const Expr& e) {
  List parts = values(e, 0);
  at_ = e.at;
  switch (e.kind) {
    case ExprKind::attribute:
      return attribute(parts[0], e.text);
    case ExprKind::subscript:
      return subscript(parts[0], parts[1], limits_);
    case ExprKind::slice:
      return slice(defined(parts[0]), parts[1], parts[2], parts[3], limits_);
    case ExprKind::minus:
      return negative(parts[0]);
    case ExprKind::plus:
      return negative(negative(parts[0]));
    case ExprKind::arithmetic:
      return arithmetic(e.text, parts[0], parts[1], limits_);
    case ExprKind::concatenate: {
      std::string out;
      for (const Value& part : parts) {
        const std::string text = str(part, limits_);
        limits_.text(out.size() + text.size());
        out += text;
      }
      return out;
    }
    case ExprKind::filter: {
      if (e.filter == nullptr) throw Failure(cat("no filter named '", e.text, "'"));
      Arguments arguments = arguments_of(e, parts);
      return e.filter(parts[0], arguments);
    }
    case ExprKind::test: {
      if (e.test == nullptr) throw Failure(cat("no test named '", e.text, "'"));
      Arguments arguments = arguments_of(e, parts);
      return e.test(parts[0], arguments);
    }
    case ExprKind::call: {
      Arguments arguments = arguments_of(e, parts);
      return call_value(defined(parts[0]), arguments);
    }
    default:
      throw Failure("an expression that cannot be evaluated");
  }
}

List Evaluator::values(const Expr& e, std::size_t first) {
  List out;
  out.reserve(e.items.size() - first);
  for (std::size_t i = first; i < e.items.size(); ++i) out.push_back(eval(*e.items[i]));
  return out;
}

Value Evaluator::dict(const Expr& e) {
  Dict out;
  for (std::size_t i = 0; i < e.items.size(); i += 2) {
    const Value key = eval(*e.items[i]);
    set_key(out, key, eval(*e.items[i + 1]), limits_);
  }
  return out;
}

Value Evaluator::compare(const Expr& e) {
  Value left = eval(*e.items[0]);
  for (std::size_t i = 0; i < e.names.size(); ++i) {
    Value right = eval(*e.items[i + 1]);
    at_ = e.at;
    if (!holds(e.names[i], left, right)) return false;
    left = std::move(right);
  }
  return true;
}

bool Evaluator::holds(const std::string& op, const Value& a, const Value& b) {
  if (op == "==") return equal(a, b, limits_);
  if (op == "!=") return !equal(a, b, limits_);
  if (op == "in") return contains(b, a, limits_);
  if (op == "not in") return !contains(b, a, limits_);
  defined(a);
  defined(b);
  if (op == "<") return less(a, b, limits_);
  if (op == ">") return less(b, a, limits_);
  return op == "<=" ? less(a, b, limits_) || equal(a, b, limits_)
                    : less(b, a, limits_) || equal(a, b, limits_);
}

}  // namespace graft::core::jinja
