// The state of a running template: what statements, expressions and calls share.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "core/text/template/evaluator.hpp"
#include "core/text/template/python.hpp"

namespace graft::core::jinja {

enum class Flow { next, skip, leave };

class Evaluator {
 public:
  explicit Evaluator(Dict variables) { scopes_.push_back(std::move(variables)); }

  Rendering run(const Template& whole);

 private:
  /// Counts how deep blocks, macros and expressions are in each other: all of it is recursion here.
  class Depth {
   public:
    explicit Depth(int& depth) : depth_(depth) {
      if (++depth_ > deepest_run) throw Failure(cat("a recursion deeper than ", deepest_run));
    }
    ~Depth() { --depth_; }
    Depth(const Depth&) = delete;
    Depth& operator=(const Depth&) = delete;

   private:
    int& depth_;
  };

  // evaluator.cpp: statements
  Flow block(const Block& statements);
  Flow execute(const Stmt& s);
  void generation(const Stmt& s);
  void with(const Stmt& s);
  void named(const Stmt& s);
  std::string captured_body(const Stmt& s);
  Value filtered(const Stmt& s);
  Flow loop_over(const Stmt& s, List items);
  void assign(const Target& target, const Value& value);
  void set(const std::string& target, Value value);
  Flow loop(const Stmt& s) { return loop_over(s, iterate(eval(*s.value), limits_)); }
  void capture(const Stmt& s) { set(s.target.name, filtered(s)); }
  /// Before the body of a scope.
  void unset(const std::vector<std::string>& names) {
    for (const std::string& name : names) set(name, Undefined{name});
  }
  void write(std::string_view text) {
    limits_.text(out_.size() + text.size() > longest_text ? out_.size() + text.size()
                                                          : text.size());
    out_ += text;
  }

  /// What run() writes while it is at work.
  template <class Run>
  std::string captured(const Run& work) {
    std::string outer = std::exchange(out_, {});
    ++captures_;
    work();
    --captures_;
    return std::exchange(out_, std::move(outer));
  }

  // evaluator_expressions.cpp
  Value lookup(const std::string& name) const;
  Value eval(const Expr& e);
  Value operation(const Expr& e);
  List values(const Expr& e, std::size_t first);
  Value dict(const Expr& e);
  Value compare(const Expr& e);
  bool holds(const std::string& op, const Value& a, const Value& b);
  static const Value& defined(const Value& value) {
    if (const Undefined* u = value.undefined()) throw Failure(cat("'", u->name, "' is undefined"));
    return value;
  }

  // evaluator_calls.cpp: of macros, functions, filters and tests
  Value call_with_body(const Stmt& s);
  Value run_body(const Function& function, Arguments& a);
  void bind(const Function& function, Arguments& a);
  Value call_value(const Value& callee, Arguments& arguments);
  Arguments arguments_of(const Expr& e, const List& parts);
  static void add_named(std::vector<std::pair<std::string, Value>>& named, const std::string& name,
                        const Value& value);

  std::vector<Dict> scopes_;
  std::vector<GeneratedSpan> spans_;
  bool hidden_spans_ = false;
  Value captured_text_;
  int captures_ = 0, depth_ = 0;
  std::string out_;
  Limits limits_;
  std::size_t at_ = 0;
  std::int64_t loop_depth_ = 0;  // of the recursive loop that calls itself just now
};

}  // namespace graft::core::jinja
