// A parsed template.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "core/text/template/builtins.hpp"
#include "core/text/template/value.hpp"

namespace graft::core::jinja {

enum class ExprKind {
  constant,     // value
  name,         // text
  list,         // items
  tuple,        // items
  dict,         // items: key, value, key, value, ..
  attribute,    // items[0] . text
  subscript,    // items[0] [ items[1] ]
  slice,        // items[0] [ items[1] : items[2] : items[3] ]; absent bounds are none
  call,         // items[0] ( items[1..] )
  filter,       // items[0] | text ( items[1..] )
  test,         // items[0] is text ( items[1..] )
  negate,       // not items[0]
  minus,        // - items[0]
  plus,         // + items[0]
  both,         // items[0] and items[1]
  either,       // items[0] or items[1]
  condition,    // items[0] if items[1] else items[2]
  arithmetic,   // items[0] text items[1]
  concatenate,  // items[0] ~ items[1] ~ ..
  compare,      // items[0] names[0] items[1] names[1] items[2] ..
  captured      // the text of the block that a filter is applied to
};

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct Expr {
  ExprKind kind = ExprKind::constant;
  std::size_t at = 0;  // byte in the source
  std::string text;
  Value value;
  std::vector<ExprPtr> items;
  std::vector<std::string> names;  // of the last arguments, which are named; or comparisons
  Filter filter = nullptr;         // null: unknown, and an error when it is reached
  Test test = nullptr;
  int depth = 1;  // of the tree below, which is walked by recursion

  /// Appends to items. Throws SyntaxFailure when the tree gets too deep.
  void add(ExprPtr item);
};

enum class StmtKind {
  data,        // text
  print,       // value
  branch,      // if value: body, else other
  loop,        // for target in value [if filter]: body, else other
  assign,      // set target = value
  capture,     // set target: body, through the filters in value
  skip,        // continue
  leave,       // break
  generation,  // body: what the assistant says
  macro,       // text(targets): body; values are the defaults of the last targets
  call,        // value, a call of a macro that may call this body with targets
  filter,      // value, applied to what the body writes
  scope,       // targets = values, in a scope of their own: body
  named        // a block: body, which sees what is set outside of everything, or all where scoped
};

/// What a value is assigned to: a name, "ns.name", a member of a namespace, or parts for its parts.
struct Target {
  std::string name;
  bool unpacks = false;
  std::vector<Target> parts;
};

struct Stmt;
using Block = std::vector<Stmt>;

struct Stmt {
  StmtKind kind = StmtKind::data;
  std::size_t at = 0;
  std::string text;
  ExprPtr value, filter;
  std::vector<ExprPtr> values;
  Target target;                     // of loop, assign, capture
  std::vector<std::string> targets;  // of macro, call, scope
  bool recursive = false;            // a loop that its body may call
  bool scoped = false;               // a block that sees what is around it
  /// Names that the body of a macro uses without setting them: those that take what is left.
  bool takes_varargs = false, takes_kwargs = false, takes_caller = false;
  Block body, other;
  /// Names that are undefined where the body, or other, begins; see scopes.hpp.
  std::vector<std::string> unset, other_unset;
};

struct Template {
  Block statements;
  std::vector<std::string> unset;
};

/// Parses a source that normalize_source() made. Throws SyntaxFailure.
Template parse(std::string_view source);

}  // namespace graft::core::jinja
