#include "core/text/regex.hpp"

#include "core/base/error.hpp"
#include "core/text/regex_syntax.hpp"
#include "core/text/unicode.hpp"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

namespace graft::core {
namespace {

constexpr std::uint32_t step_limit = 100'000'000;
constexpr std::size_t largest_stack = std::size_t{64} << 20;

/// What matching needs besides the expression; one per thread.
struct Workspace {
  pcre2_match_data* data = pcre2_match_data_create(1, nullptr);
  pcre2_match_context* context = pcre2_match_context_create(nullptr);
  pcre2_jit_stack* stack = pcre2_jit_stack_create(32 * 1024, largest_stack, nullptr);
  Workspace() {
    if (data == nullptr || context == nullptr || stack == nullptr) throw std::bad_alloc();
    pcre2_set_match_limit(context, step_limit);
    pcre2_set_heap_limit(context, largest_stack / 1024);
    pcre2_jit_stack_assign(context, nullptr, stack);
  }
  ~Workspace() {
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
    pcre2_jit_stack_free(stack);
  }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
};

std::string message_of(int code) {
  PCRE2_UCHAR text[256];
  pcre2_get_error_message(code, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

pcre2_code* compile(std::string_view perl, int& error, PCRE2_SIZE& where) {
  return pcre2_compile(reinterpret_cast<PCRE2_SPTR>(perl.data()), perl.size(),
                       PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &where, nullptr);
}

}  // namespace

bool is_perl_expression(std::string_view pattern) {
  int error = 0;
  PCRE2_SIZE where = 0;
  pcre2_code* code = compile(pattern, error, where);
  pcre2_code_free(code);
  return code != nullptr;
}

Regex::Regex(std::string_view pattern, std::string_view who) : pattern_(pattern) {
  int error = 0;
  PCRE2_SIZE where = 0;
  const std::string perl = perl_syntax(pattern, who);
  pcre2_code* code = compile(perl, error, where);
  if (code == nullptr) {
    throw Error(GRAFT_E_INVALID,
                cat(who, ": the regular expression '", pattern, "' is wrong at character ", where,
                    perl == pattern ? "" : cat(" of '", perl, "'"), ": ", message_of(error), "."));
  }
  code_ = std::shared_ptr<const void>(
      code, [](const void* p) { pcre2_code_free(static_cast<pcre2_code*>(const_cast<void*>(p))); });
  // Without it matching is slower, not different.
  jit_ = pcre2_jit_compile(code, PCRE2_JIT_COMPLETE) == 0;
}

void Regex::matches(std::string_view text, std::vector<TextRange>& out, Empty empty) const {
  thread_local Workspace workspace;
  const auto* code = static_cast<const pcre2_code*>(code_.get());
  std::string other;
  if (stand_in_for_newer(text, other)) text = other;
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  const PCRE2_SIZE* match = pcre2_get_ovector_pointer(workspace.data);
  std::size_t last_end = text.npos;
  for (std::size_t at = 0; at <= text.size();) {
    const int found = jit_ ? pcre2_jit_match(code, subject, text.size(), at, PCRE2_NO_UTF_CHECK,
                                             workspace.data, workspace.context)
                           : pcre2_match(code, subject, text.size(), at, PCRE2_NO_UTF_CHECK,
                                         workspace.data, workspace.context);
    if (found == PCRE2_ERROR_NOMATCH) return;
    if (found < 0) {
      throw Error(GRAFT_E_INVALID,
                  cat("the regular expression '", pattern_, "' gave up on a text of ", text.size(),
                      " bytes at byte ", at, ": ", message_of(found), "."));
    }
    if (match[1] > match[0]) {
      out.push_back({match[0], match[1]});
      at = last_end = match[1];
      continue;
    }
    if (empty == Empty::included && match[0] != last_end) out.push_back({match[0], match[0]});
    at = match[0];
    if (at >= text.size()) return;
    utf8_next(text, at);
  }
}

}  // namespace graft::core
